"""`cnnshift list`: what there is to choose from."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from cnnshift import config, registry
from cnnshift.cli.terminal import style, write
from cnnshift.errors import InputError

REGISTRIES: Mapping[str, registry.Registry] = {
    "models": registry.MODELS,
    "datasets": registry.DATASETS,
    "protocols": registry.PROTOCOLS,
    "metrics": registry.METRICS,
    "pools": registry.DOWNSAMPLERS,
    "formats": registry.FORMATS,
}

KINDS = (*REGISTRIES, "suites")


def listing(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
) -> None:
    """List models, data sets, protocols, metrics, pools, formats or suites, one line each."""
    if kind not in KINDS:
        raise InputError(registry.unknown("kind of names", kind, KINDS))
    if kind == "suites":
        rows = [(name, config.suite_summary(name), "") for name in config.suite_names()]
    else:
        rows = [(name, entry.summary, entry.reference) for name, entry in REGISTRIES[kind].items()]
    if format == "json":
        keys = ("name", "summary", "reference")
        write(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1, ensure_ascii=False) + "\n")
        return
    if format != "table":
        raise InputError(registry.unknown("format", format, ("table", "json")))
    wide = max(len(name) for name, _, _ in rows)
    bold, plain = ("\x1b[1m", "\x1b[0m") if style(sys.stdout).color else ("", "")
    for name, summary, reference in rows:
        write(f"{bold}{name:<{wide}}{plain}  {summary}{f' ({reference})' if reference else ''}\n")
