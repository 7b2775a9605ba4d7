"""`cnnshift explain`: equivariance errors by layer, their causes, and an ablation."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from cnnshift.cli.help_text import with_range_default
from cnnshift.cli.output import check_outputs, emit
from cnnshift.cli.terminal import note
from cnnshift.config import DEFAULT_EXPLAIN_LIMIT, DEFAULTS
from cnnshift.spec import DatasetSpec


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL_SPEC", help="family:key=value,… (see list models)")],
    dataset: Annotated[str, typer.Option(help="Data set spec.")] = DEFAULTS.dataset,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Prepared data sets, for tfds:NAME.")] = None,
    raw_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Downloaded files to prepare them from.")] = None,
    split: Annotated[str | None, typer.Option(help="Test images, as val or test[:50%]; of folder: and tfds:.")] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=2, help="Test images, a seeded subset.")
    ] = DEFAULT_EXPLAIN_LIMIT,
    protocol: Annotated[str, typer.Option(help="Shift protocol of the predictions.")] = "circular",
    shifts: Annotated[
        str, typer.Option(help="Shift set of the predictions: grid, full, axis, diagonal or random:K.")
    ] = DEFAULTS.shifts,
    max_shift: Annotated[
        str | None,
        typer.Option(metavar="PX", help=with_range_default("Largest shift in pixels.", "max_shift")),
    ] = None,
    step: Annotated[
        str | None, typer.Option(metavar="PX", help=with_range_default("Spacing in pixels, as 2, 1/3, 0.25.", "step"))
    ] = None,
    ablation: Annotated[
        bool,
        typer.Option("--ablation/--no-ablation", help="Train variants with one, or all but one, component replaced."),
    ] = True,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Training epochs; 0 leaves the network untrained.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the training.")] = DEFAULTS.seed,
    format: Annotated[str, typer.Option(help="See list formats; on stdout.")] = "table",
    output: Annotated[
        list[Path] | None, typer.Option("-o", "--output", help="Write a file too; its ending says the format.")
    ] = None,
) -> None:
    """Measure the equivariance error of every layer, name its cause, and replace components one at a time.

    Example: cnnshift explain cnn:padding=circular,head=gap
    """
    check_outputs(format, output or ())
    data = DatasetSpec.parse(dataset).extend(data_dir=data_dir, raw_dir=raw_dir, split=split)
    from cnnshift.sweep.device import prepare_backend

    prepare_backend(deterministic=False)
    from cnnshift.api import explain as explain_model
    from cnnshift.render.documents.explain import explain_document

    gc.enable()
    explanation = explain_model(
        model,
        str(data),
        protocol=protocol,
        shifts=shifts,
        max_shift=max_shift,
        step=step,
        limit=limit,
        epochs=epochs,
        seed=seed,
        ablation=ablation,
        status=lambda line: note(f"{line} …"),
    )
    emit(explain_document(explanation), format, output or ())
