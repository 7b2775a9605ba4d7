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
    """Check known answers of the mathematics on this device, dtype and precision; exit code 1 if one does not hold."""
    check_outputs(format, output or ())
    from cnnshift.sweep.device import describe_device, prepare_backend

    prepare_backend(deterministic=False)
    from cnnshift.render.documents.selftest import Answer, selftest_document
    from cnnshift.selftest.run import run_identities

    started = time.perf_counter()
    answers = [
        Answer(
            outcome.name,
            outcome.identity.title,
            outcome.deviation,
            outcome.identity.limit,
            outcome.identity.at_least,
            outcome.holds,
            outcome.reason,
        )
        for outcome in run_identities(lambda name: note(f"checking {name}") if sys.stderr.isatty() else None)
    ]
    seconds = time.perf_counter() - started
    emit(selftest_document(answers, describe_device(), seconds), format, output or ())
    raise typer.Exit(0 if all(answer.holds for answer in answers) else 1)
