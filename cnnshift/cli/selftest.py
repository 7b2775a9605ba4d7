"""`cnnshift selftest`: known answers on this device."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cnnshift.cli.output import check_outputs, emit
from cnnshift.cli.terminal import note


def selftest(
    format: Annotated[str, typer.Option(help="See list formats; on stdout.")] = "table",
    output: Annotated[
        list[Path] | None, typer.Option("-o", "--output", help="Write a file too; its ending says the format.")
    ] = None,
) -> None:
    """Check known answers on this device, dtype and precision. Exit code 1 if one fails."""
    check_outputs(format, output or ())
    from cnnshift.sweep.device import describe_device, prepare_backend

    prepare_backend(deterministic=False)
    from cnnshift.render.documents.selftest import selftest_document
    from cnnshift.selftest.run import run_selftest

    started = time.perf_counter()
    answers = list(run_selftest(lambda name: note(f"checking {name}") if sys.stderr.isatty() else None))
    seconds = time.perf_counter() - started
    emit(selftest_document(answers, describe_device(), seconds), format, output or ())
    raise typer.Exit(0 if all(answer.holds for answer in answers) else 1)
