"""`cnnshift selftest`: known answers on this device."""

from __future__ import annotations

import sys
import time

import typer

from cnnshift.cli import options
from cnnshift.cli.backend import load_backend
from cnnshift.cli.output import check_outputs, emit
from cnnshift.cli.terminal import print_line


def selftest(
    format: options.Format = "table",
    output: options.Outputs = None,
) -> None:
    """Run known-answer tests on this device, dtype and precision.

    Exit code: 1 if a test fails.

    Example: cnnshift selftest
    """
    check_outputs(format, output)
    load_backend()
    from cnnshift.render.documents.selftest import selftest_document
    from cnnshift.selftest.known_answers import run_selftest
    from cnnshift.sweep.device import describe_device

    started = time.perf_counter()
    answers = list(run_selftest(lambda name: print_line(f"Checking {name}") if sys.stderr.isatty() else None))
    seconds = time.perf_counter() - started
    emit(selftest_document(answers, describe_device(), seconds), format, output)
    raise typer.Exit(0 if all(answer.holds for answer in answers) else 1)
