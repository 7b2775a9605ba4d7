"""`cnnshift compare`: is it worse than before, and which architecture is better?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cnnshift.cli.output import check_outputs, emit
from cnnshift.errors import InputError

EXIT_CODES = {"passed": 0, "failed": 1, "incomparable": 4}

GATES, MATCHING, OUTPUT = "Gates", "Matching", "Output"


def compare(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULT...", help="Result files, the baseline first; 'last' is the newest result."),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Of one result: the model to compare the others with. (default: the first)",
            rich_help_panel=MATCHING,
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC:MARGIN",
            help="Fail if it gets worse by more: accuracy:0.5pp, mac:5%, *:1pp; the last match counts (repeatable).",
            rich_help_panel=GATES,
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC>=VALUE",
            help="Fail if a candidate's value does not meet it: accuracy>=97% (repeatable).",
            rich_help_panel=GATES,
        ),
    ] = None,
    on_inconclusive: Annotated[
        str | None,
        typer.Option(
            metavar="warn|fail|pass",
            help="What becomes of a loss beyond its margin that may be chance. (default: warn)",
            rich_help_panel=GATES,
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Same weights, new code: every prediction must be equal.", rich_help_panel=GATES),
    ] = False,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Report, and never fail.", rich_help_panel=GATES)
    ] = False,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Rows without a counterpart are no obstacle.", rich_help_panel=MATCHING),
    ] = False,
    allow_incomparable: Annotated[
        bool,
        typer.Option("--allow-incomparable", help="Rows measured otherwise are none.", rich_help_panel=MATCHING),
    ] = False,
    only_changed: Annotated[
        bool, typer.Option("--only-changed", help="Hide unchanged rows, and count them.", rich_help_panel=OUTPUT)
    ] = False,
    format: Annotated[str, typer.Option(help="See list formats; on stdout.", rich_help_panel=OUTPUT)] = "table",
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            help="Write a file too; its ending says the format: .xml is junit, .md markdown (repeatable).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Compare results with a baseline, or the models of one result with a reference.

    Several results: the headline metrics are judged, or what --fail-if says. One result: its models are compared with
    --reference, and nothing fails unless --fail-if or --require says so.

    Exit code 1: a gate failed. 4: something could not be compared.

    Example: cnnshift compare baseline.json last --fail-if '*:1pp' --require 'accuracy>=95%' -o report.xml
    """
    # There is no matrix to multiply, and starting threads for it takes a tenth of the time of a comparison.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from cnnshift.api import compare as compare_results
    from cnnshift.render.documents.comparison import comparison_document
    from cnnshift.results.files import locate

    check_outputs(format, output or ())
    inputs = {locate(name).resolve() for name in results}
    if overwritten := [path for path in output or () if path.resolve() in inputs]:
        raise InputError(f"{overwritten[0]} is one of the results; a comparison must not overwrite it.")
    found = compare_results(
        *results,
        reference=reference,
        fail_if=fail_if or (),
        require=require or (),
        on_inconclusive=on_inconclusive,
        exact=exact,
        allow_missing=allow_missing,
        allow_incomparable=allow_incomparable,
    )
    emit(comparison_document(found, only_changed=only_changed), format, output or ())
    raise typer.Exit(0 if exit_zero else EXIT_CODES[found.status])
