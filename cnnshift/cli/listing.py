"""`cnnshift list`: what there is to choose from."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from cnnshift import config, registry
from cnnshift.cli.terminal import style, write


class Kind(StrEnum):
    """What can be listed."""

    models = "models"
    datasets = "datasets"
    protocols = "protocols"
    metrics = "metrics"
    suites = "suites"
    pools = "pools"
    formats = "formats"


_REGISTRIES = {
    Kind.models: registry.MODELS,
    Kind.datasets: registry.DATASETS,
    Kind.protocols: registry.PROTOCOLS,
    Kind.metrics: registry.METRICS,
    Kind.pools: registry.DOWNSAMPLERS,
    Kind.formats: registry.FORMATS,
}


class ListFormat(StrEnum):
    """How it can be listed."""

    table = "table"
    json = "json"


def listing(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    format: Annotated[ListFormat, typer.Option(help="Output format.")] = ListFormat.table,
) -> None:
    """List models, data sets, protocols, metrics or suites, one line each."""
    if kind is Kind.suites:
        rows = [(name, config.suite_summary(name), "") for name in config.suite_names()]
    else:
        rows = [(name, entry.summary, entry.reference) for name, entry in _REGISTRIES[kind].items()]
    if format is ListFormat.json:
        import json

        write(
            json.dumps([dict(zip(("name", "summary", "reference"), row, strict=True)) for row in rows], indent=1) + "\n"
        )
        return
    wide = max(len(name) for name, _, _ in rows)
    bold, plain = ("\x1b[1m", "\x1b[0m") if style(sys.stdout).color else ("", "")
    for name, summary, reference in rows:
        write(f"{bold}{name:<{wide}}{plain}  {summary}{f' ({reference})' if reference else ''}\n")
