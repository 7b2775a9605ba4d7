"""`cnnshift compare`: check a result for regressions, or compare the models of one result."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cnnshift.cli import options
from cnnshift.cli.options import OUTPUT, option
from cnnshift.cli.output import check_outputs, emit
from cnnshift.errors import InputError

EXIT_CODES = {"passed": 0, "failed": 1, "incomparable": 4}

GATES, MATCHING = "Gates", "Matching"


def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT...", help="Result files; the first is the baseline, and 'last' is the newest result."
        ),
    ],
    reference: Annotated[
        str | None,
        option(
            panel=MATCHING, metavar="MODEL", help="Compare the models of one result with MODEL. (default: the first)"
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        option(
            panel=GATES,
            metavar="METRIC:MARGIN",
            help="Fail if METRIC gets worse by more than MARGIN: accuracy:0.5pp, "
            "mac:5%, *:1pp. The last gate that matches a metric applies (repeatable).",
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        option(
            panel=GATES,
            metavar="METRIC>=VALUE",
            help="Fail if METRIC of a candidate does not meet VALUE: accuracy>=97% (repeatable).",
        ),
    ] = None,
    on_inconclusive: Annotated[
        str | None,
        option(
            panel=GATES,
            metavar="warn|fail|pass",
            help="Warn, fail or pass if a loss exceeds its margin without being significant. (default: warn)",
        ),
    ] = None,
    exact: Annotated[
        bool, option("--exact", panel=GATES, help="Require the same weights to give the same predictions.")
    ] = False,
    exit_zero: Annotated[
        bool, option("--exit-zero", panel=GATES, help="Exit with code 0 even if a gate fails.")
    ] = False,
    allow_missing: Annotated[
        bool, option("--allow-missing", panel=MATCHING, help="Ignore rows that one of the results lacks.")
    ] = False,
    allow_incomparable: Annotated[
        bool,
        option("--allow-incomparable", panel=MATCHING, help="Ignore rows that were measured under other conditions."),
    ] = False,
    only_changed: Annotated[
        bool, option("--only-changed", panel=OUTPUT, help="Hide unchanged rows and print their number.")
    ] = False,
    format: options.Format = "table",
    output: options.Outputs = None,
) -> None:
    """Compare results with a baseline, or the models of one result with a reference.

    With several results, the comparison fails if a headline metric regressed; --fail-if sets other metrics and margins.

    With one result, it compares the models with --reference, and fails only if a gate on the command line fails.

    Exit codes: 1 a gate failed, 4 a row is missing or not comparable.

    Example: cnnshift compare baseline.json last --fail-if '*:1pp' --require 'accuracy>=95%' -o report.xml
    """
    # The threads of OpenBLAS and the search for plug-ins of pydantic would take a tenth of the time of a comparison.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from cnnshift.api import compare as compare_results
    from cnnshift.render.documents.comparison import comparison_document
    from cnnshift.results.files import locate

    check_outputs(format, output)
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
    emit(comparison_document(comparison, only_changed=only_changed), format, output)
    raise typer.Exit(0 if exit_zero else EXIT_CODES[comparison.status])
