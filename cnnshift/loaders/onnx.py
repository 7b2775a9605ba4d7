"""Loader `onnx`: a model in the Open Neural Network Exchange format, run by onnxruntime."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from cnnshift.cores import num_workers, usable_cores
from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.base import check_options, existing_file, file_digest, first_line
from cnnshift.loaders.extras import import_extra
from cnnshift.loaders.host_callback import host_callback
from cnnshift.options import parse_options
from cnnshift.preprocess import Preprocess
from cnnshift.spec import ModelSpec

CHANNELS = (1, 3, 4)
"""Lengths that mark the channel axis of an input."""


def load_onnx(spec: ModelSpec, preprocessing: Mapping[str, Any]) -> LoadedModel:
    """Load an ONNX file.

    The layout follows from the axis of length 1, 3 or 4; if both or neither candidate has such a length, the option
    `layout` must be given. Smaller batches than a fixed batch size of the file are filled up with copies of the last
    image.

    Args:
        spec: its argument is the path of an .onnx file.
        preprocessing: its `layout` is used if the file leaves the layout open.

    Raises:
        InputError: The file cannot be read, does not have one input and one output, its input is not a batch of images
            of 32-bit floats, or `layout` or `size` contradicts the file.
    """
    check_options(spec)
    path = existing_file(spec, suffixes=(".onnx",))
    onnxruntime = import_extra("onnxruntime", "onnx")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    # One core per worker: measured to be faster than one call on all cores. With an accelerator there is one worker.
    settings.intra_op_num_threads = max(1, usable_cores() // (num_workers() if jax.default_backend() == "cpu" else 1))
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(f"{path} cannot be read as ONNX: {first_line(error)}.") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    for kind, values in (("inputs", inputs), ("outputs", outputs)):
        if len(values) != 1:
            names = ", ".join(value.name for value in values)
            raise InputError(f"{path} has {len(values)} {kind} ({names}); allowed: one.")
    input_name, dtype, shape = inputs[0].name, inputs[0].type, inputs[0].shape
    if dtype != "tensor(float)" or len(shape) != 4:
        raise InputError(f"{path} has an input {dtype} of shape {shape}; allowed: tensor(float) with four axes.")
    layout = _layout(str(path), shape, preprocessing.get("layout"))
    sides = shape[2:4] if layout == "nchw" else shape[1:3]
    size = (sides[0], sides[1]) if all(isinstance(side, int) for side in sides) else None
    option = parse_options(Preprocess, spec.name, {"size": preprocessing.get("size")}).size
    if size and option not in (None, size):
        raise InputError(
            f"size is {option[0]}x{option[1]}, but {path} accepts images of {size[0]}x{size[1]} pixels only."
        )

    def run(images: Float[np.ndarray, "n _ _ _"]) -> Any:
        try:
            return session.run(None, {input_name: images})[0]
        except Exception as error:
            raise InputError(
                f"{path} cannot be applied to images of shape {images.shape}: {first_line(error)}."
            ) from None

    fixed_batch = shape[0] if isinstance(shape[0], int) else None
    return LoadedModel(
        host_callback(run, concurrent=True, fixed_batch=fixed_batch),
        Preprocess(size=size, layout=layout),
        digest=_digest(path),
    )


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, and of the files in its folder that hold its weights."""
    content, folder = path.read_bytes(), path.parent.resolve()
    weight_files = set()
    # External weights: entries of a protobuf map with the key `location`. The length of the value takes 7 bits, and 7
    # more if its first bit is set. Matches that name no file in the folder are something else.
    for found in re.finditer(rb"\n\x08location\x12([\x80-\xff]?)([\x00-\x7f])", content):
        low, high = (found[1][0] & 127, found[2][0]) if found[1] else (found[2][0], 0)
        name = os.fsdecode(content[found.end() : found.end() + (high << 7 | low)])
        # A path cannot contain a zero byte.
        file = None if "\0" in name else (folder / name).resolve()
        if file and file.is_relative_to(folder) and file.is_file():
            weight_files.add(file)
    digests = [file_digest(path), *(file_digest(file) for file in sorted(weight_files))]
    return digests[0] if not weight_files else hashlib.sha256("".join(digests).encode()).hexdigest()


def _layout(path: str, shape: list[Any], option: str | None) -> Any:
    first, last = (shape[axis] in CHANNELS for axis in (1, 3))
    if first == last:
        if option is None:
            raise InputError(
                f"{path} has an input of shape {shape}, whose channels may be the second or the last axis; give "
                "layout=nchw or layout=nhwc."
            )
        return option
    layout = "nchw" if first else "nhwc"
    if option not in (None, layout):
        raise InputError(f"layout is {option}, but {path} has an input of shape {shape}; allowed: {layout}.")
    return layout
