"""`cnnshift compare`: check a result for regressions, or compare the models of one result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnshift.cli.output import check_outputs, emit
from cnnshift.errors import InputError

EXIT_CODES = {"passed": 0, "failed": 1, "incomparable": 4}

GATES, MATCHING, OUTPUT = "Gates", "Matching", "Output"


def _option(panel: str, *names: str, metavar: str | None = None, help: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel)


def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT...", help="Result files; the first is the baseline, and 'last' is the newest result."
        ),
    ],
    reference: Annotated[
        str | None,
        _option(MATCHING, metavar="MODEL", help="Compare the models of one result with MODEL. (default: the first)"),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        _option(
            GATES,
            metavar="METRIC:MARGIN",
            help="Fail if METRIC gets worse by more than MARGIN: accuracy:0.5pp, "
            "mac:5%, *:1pp. The last gate that matches a metric applies (repeatable).",
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        _option(
            GATES,
            metavar="METRIC>=VALUE",
            help="Fail if METRIC of a candidate does not meet VALUE: accuracy>=97% (repeatable).",
        ),
    ] = None,
    on_inconclusive: Annotated[
        str | None,
        _option(
            GATES,
            metavar="warn|fail|pass",
            help="Warn, fail or pass if a loss exceeds its margin without being significant. (default: warn)",
        ),
    ] = None,
    exact: Annotated[
        bool, _option(GATES, "--exact", help="Require the same weights to give the same predictions.")
    ] = False,
    exit_zero: Annotated[bool, _option(GATES, "--exit-zero", help="Exit with code 0 even if a gate fails.")] = False,
    allow_missing: Annotated[
        bool, _option(MATCHING, "--allow-missing", help="Ignore rows that one of the results lacks.")
    ] = False,
    allow_incomparable: Annotated[
        bool,
        _option(MATCHING, "--allow-incomparable", help="Ignore rows that were measured under other conditions."),
    ] = False,
    only_changed: Annotated[
        bool, _option(OUTPUT, "--only-changed", help="Hide unchanged rows and print their number.")
    ] = False,
    format: Annotated[
        str, _option(OUTPUT, metavar="FORMAT", help="Print in FORMAT; see cnnshift list formats.")
    ] = "table",
    output: Annotated[
        list[Path] | None,
        _option(
            OUTPUT,
            "-o",
            "--output",
            metavar="FILE",
            help="Also write FILE in the format of its suffix, such as .xml (junit) or .md (markdown) (repeatable).",
        ),
    ] = None,
) -> None:
    """Compare results with a baseline, or the models of one result with a reference.

    With several results, fail if a headline metric regressed, or as --fail-if and --require define.

    With one result, compare its models with --reference, and fail only as --fail-if and --require define.

    Exit codes: 1 a gate failed, 4 something could not be compared.

    Example: cnnshift compare baseline.json last --fail-if '*:1pp' --require 'accuracy>=95%' -o report.xml
    """
    # The threads of OpenBLAS and the search for plug-ins of pydantic would take a tenth of the time of a comparison.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from cnnshift.api import compare as compare_results
    from cnnshift.render.documents.comparison import comparison_document
    from cnnshift.results.files import locate

    check_outputs(format, output or ())
    inputs = {locate(name).resolve() for name in results}
    if overwritten := [path for path in output or () if path.resolve() in inputs]:
        raise InputError(f"-o {overwritten[0]} is one of the results; it would be overwritten.")
    comparison = compare_results(
        *results,
        reference=reference,
        fail_if=fail_if or (),
        require=require or (),
        on_inconclusive=on_inconclusive,
        exact=exact,
        allow_missing=allow_missing,
        allow_incomparable=allow_incomparable,
    )
    emit(comparison_document(comparison, only_changed=only_changed), format, output or ())
    raise typer.Exit(0 if exit_zero else EXIT_CODES[comparison.status])
