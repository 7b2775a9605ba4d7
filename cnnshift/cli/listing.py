"""`cnnshift list`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cnnshift import catalog, config, registry
from cnnshift.cli.output import check_outputs, emit
from cnnshift.errors import InputError

REGISTRIES: Mapping[str, tuple[registry.Registry, ...]] = {
    "models": (catalog.MODELS, catalog.LOADERS),
    "datasets": (catalog.DATASETS,),
    "protocols": (catalog.PROTOCOLS,),
    "metrics": (catalog.METRICS,),
    "pools": (catalog.DOWNSAMPLERS,),
    "augmentations": (catalog.AUGMENTATIONS,),
    "formats": (catalog.FORMATS,),
}

KINDS = (*REGISTRIES, "suites")


def listing(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    format: Annotated[str, typer.Option(help="See list formats; on stdout.")] = "table",
    output: Annotated[
        list[Path] | None, typer.Option("-o", "--output", help="Write a file too; its ending says the format.")
    ] = None,
) -> None:
    """List models, data sets, protocols, metrics, pools, augmentations, formats or suites, one line each."""
    from cnnshift.render.documents.listing import listing_document

    if kind not in KINDS:
        raise InputError(registry.unknown("kind of names", kind, KINDS))
    check_outputs(format, output or ())
    if kind == "suites":
        rows = [(name, config.suite_summary(name), "") for name in config.suite_names()]
    else:
        entries = [item for table in REGISTRIES[kind] for item in table.items()]
        rows = [(_spelt(name, entry), entry.summary, entry.reference) for name, entry in entries]
    emit(listing_document(kind, rows), format, output or ())


def _spelt(name: str, entry: registry.Entry) -> str:
    """A name as it is written in a spec: with what has to follow it."""
    return f"{name}:{entry.argument}" if entry.argument else name
