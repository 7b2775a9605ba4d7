"""`cnnshift export`: a network for other tools."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from cnnshift.cli.terminal import note
from cnnshift.config import DEFAULTS
from cnnshift.errors import InputError


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL_SPEC", help="family:key=value,… (see list models)")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.onnx", help="The file to write.")],
    dataset: Annotated[str, typer.Option(help="Data set spec.")] = DEFAULTS.dataset,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Training epochs; 0 leaves the network untrained.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the training.")] = DEFAULTS.seed,
) -> None:
    """Write a network as ONNX, checked against the original: images (n, h, w, c) on the scale 0..1 → logits (n, k).

    Example: cnnshift export cnn:padding=circular,head=gap -o cnn.onnx
    """
    if output.suffix != ".onnx":
        raise InputError(f"--output is {output}; allowed: a file that ends in .onnx.")
    from cnnshift.files import check_writable
    from cnnshift.sweep.device import prepare_backend

    check_writable(output)
    prepare_backend(deterministic=False)
    from cnnshift.bench.export import export_onnx

    gc.enable()
    made = export_onnx(model, output, dataset=dataset, epochs=epochs, seed=seed, say=lambda what: note(f"{what} …"))
    shape = " × ".join(map(str, made.shape))
    values = "" if made.parameters is None else f", {made.parameters:,} trained values"
    note(
        f"{made.label}{values}, images {shape}; {made.agreeing} of {made.images} "
        f"predictions as before, logits within {made.difference:.1e} of the largest"
    )
    note(f"wrote {output}")
