"""`cnnshift list`: print the names of a registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from cnnshift import catalog, registry
from cnnshift.cli import options
from cnnshift.cli.output import check_outputs, emit
from cnnshift.config import suite_names, suite_summary
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
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"What to list: {', '.join(KINDS[:-1])} or {KINDS[-1]}.")],
    format: options.Format = "table",
    output: options.Outputs = None,
) -> None:
    """List models, data sets, protocols, metrics and other names.

    Prints one line per name, with a description and its source in the literature.

    Example: cnnshift list models
    """
    from cnnshift.render.documents.listing import listing_document

    if kind not in KINDS:
        raise InputError(registry.unknown("kind of names", kind, KINDS))
    check_outputs(format, output)
    if kind == "suites":
        rows = [(name, suite_summary(name), "") for name in suite_names()]
    else:
        entries = [item for table in REGISTRIES[kind] for item in table.items()]
        rows = [(_in_spec(name, entry), entry.summary, entry.reference) for name, entry in entries]
    emit(listing_document(kind, rows), format, output)


def _in_spec(name: str, entry: registry.Entry) -> str:
    """Return a name with the argument that it needs in a spec."""
    return f"{name}:{entry.argument}" if entry.argument else name
