"""`cnnshift export`: write a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cnnshift.cli import options
from cnnshift.cli.backend import load_backend
from cnnshift.cli.options import OUTPUT, option
from cnnshift.cli.terminal import print_line
from cnnshift.config import DEFAULTS, make_config
from cnnshift.errors import InputError


def export(
    model: options.Model,
    output: Annotated[
        Path, option("-o", "--output", panel=OUTPUT, metavar="FILE.onnx", help="Write the model to this file.")
    ],
    dataset: options.Dataset = None,
    epochs: options.Epochs = None,
    seed: options.Seed = None,
) -> None:
    """Write a model as an ONNX file and check it against the original.

    The file maps images [n h w c] on the scale 0..1 to logits [n k].

    Example: cnnshift export cnn:padding=circular,head=gap -o cnn.onnx
    """
    if output.suffix != ".onnx":
        raise InputError(f"--output is {output}; the suffix must be .onnx.")
    flags = {"epochs": epochs, "seed": seed or DEFAULTS.seed}
    config = make_config(dict.fromkeys(flags, "flag"), models=[model], dataset=dataset or DEFAULTS.dataset, **flags)
    from cnnshift.files import check_writable

    check_writable(output)
    load_backend()
    from cnnshift.bench.export import export_onnx

    export = export_onnx(output, config)
    shape = " × ".join(map(str, export.shape))
    parameters = "" if export.parameters is None else f", {export.parameters:,} parameters"
    print_line(
        f"{export.name}{parameters}, images {shape}: {export.equal_predictions} of {export.images} predictions are "
        f"equal, logits differ by at most {export.difference:.1e} of the largest"
    )
    print_line(f"Wrote {output}")
