"""Source `onnx`: a network in the Open Neural Network Exchange format, run by onnxruntime."""

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

from cnnshift.cores import lanes, usable_cores
from cnnshift.errors import InputError
from cnnshift.loaders.base import (
    Network,
    Preprocess,
    existing_file,
    file_digest,
    first_line,
    no_options,
)
from cnnshift.loaders.extras import optional
from cnnshift.loaders.host_callback import host_callback
from cnnshift.options import parse_options

COLOURS = (1, 3, 4)
"""Numbers of channels by which the axis of the channels is found."""


def open_onnx(argument: str, options: Mapping[str, str], said: Mapping[str, Any]) -> Network:
    """Read a file and ask its runtime for what it takes.

    The layout is that in which the axis of the channels has 1, 3 or 4 entries; where both or none of the two has, it
    has to be said (`layout=nchw`). A fixed number of images a call is filled up with copies of the last one.

    Args:
        argument: path of an .onnx file.
        options: none.
        said: of the preparation; its layout, if it says one.

    Raises:
        InputError: it cannot be read, has more than one input or output, or takes and gives something else than images
            of 32-bit floats and logits.
    """
    no_options("onnx", options)
    path = existing_file("onnx", argument, suffixes=(".onnx",))
    onnxruntime = optional("onnxruntime", "onnx")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    # A core for each of the calls at a time: measured to be faster than one call on all of them. Beside a sweep on
    # another device there is one call at a time.
    settings.intra_op_num_threads = max(1, usable_cores() // (lanes() if jax.default_backend() == "cpu" else 1))
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as problem:
        raise InputError(f"{path} cannot be read as ONNX: {first_line(problem)}.") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    for what, found in (("inputs", inputs), ("outputs", outputs)):
        if len(found) != 1:
            names = ", ".join(each.name for each in found)
            raise InputError(f"{path} has {len(found)} {what} ({names}); allowed: one.")
    taken = inputs[0]
    if taken.type != "tensor(float)" or len(taken.shape) != 4:
        raise InputError(
            f"{path} takes {taken.type} of shape {taken.shape}; allowed: tensor(float) of four axes, which are images."
        )
    layout = _layout(str(path), taken.shape, said.get("layout"))
    sides = taken.shape[2:4] if layout == "nchw" else taken.shape[1:3]
    size = (sides[0], sides[1]) if all(isinstance(side, int) for side in sides) else None
    if size and "size" in said and parse_options(Preprocess, "onnx", {"size": said["size"]}).size != size:
        raise InputError(f"size is {said['size']}, but {path} takes images of {size[0]}x{size[1]} pixels only.")

    def run(images: Float[np.ndarray, "n _ _ _"]) -> Any:
        try:
            return session.run(None, {taken.name: images})[0]
        except Exception as problem:
            raise InputError(
                f"{path} cannot be applied to images of shape {images.shape}: {first_line(problem)}."
            ) from None

    return Network(
        host_callback(run, concurrent=True, batch=taken.shape[0] if isinstance(taken.shape[0], int) else None),
        Preprocess(size=size, layout=layout),
        digest=_digest(path),
    )


def _digest(path: Path) -> str:
    """Of the file, and of those beside it that hold its weights.

    Entries of that key which name no file in its folder are something else: the runtime has found all that it needs.
    """
    content, folder = path.read_bytes(), path.parent.resolve()
    beside = set()
    # An entry of a map, whose value follows its length: seven bits of it, and seven more where the first is set.
    for found in re.finditer(rb"\n\x08location\x12([\x80-\xff]?)([\x00-\x7f])", content):
        low, high = (found[1][0] & 127, found[2][0]) if found[1] else (found[2][0], 0)
        name = os.fsdecode(content[found.end() : found.end() + (high << 7 | low)])
        # No path holds a zero byte.
        held = None if "\0" in name else (folder / name).resolve()
        if held and held.is_relative_to(folder) and held.is_file():
            beside.add(held)
    digests = [file_digest(path), *(file_digest(held) for held in sorted(beside))]
    return digests[0] if not beside else hashlib.sha256("".join(digests).encode()).hexdigest()


def _layout(path: str, shape: list[Any], said: str | None) -> Any:
    first, last = (shape[axis] in COLOURS for axis in (1, 3))
    if first == last:
        if said is None:
            raise InputError(
                f"{path} takes images of shape {shape}, whose channels may be first or last; say layout=nchw or nhwc."
            )
        return said
    layout = "nchw" if first else "nhwc"
    if said not in (None, layout):
        raise InputError(f"layout is {said}, but {path} takes images of shape {shape}; allowed: {layout}.")
    return layout
