"""The arrays of a Flax NNX module by name, as files of weights hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

_STORED = nnx.Not(nnx.RngState)
"""Streams of random numbers are no weights."""


def arrays_by_name(model: nnx.Module) -> dict[str, Any]:
    """The model's arrays (or their abstract shapes) by name, such as `blocks.0.weights.kernel`."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.state(model, _STORED))
    return {array_name(path): leaf for path, leaf in leaves}


def array_name(path: tuple[Any, ...]) -> str:
    """The name of a leaf from its path in a tree, without that of the variable that wraps it."""
    return jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value")


def fill_arrays(model: nnx.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Replace all of a model's arrays, which may be abstract.

    Raises:
        ValueError: other names, another shape or another type; the message says which.
    """
    leaves = arrays_by_name(model)
    if strange := sorted(leaves.keys() ^ arrays.keys()):
        where = "the network has" if strange[0] in leaves else "the weights have"
        raise ValueError(f"they belong to another network: only {where} {strange[0]}")
    for name, leaf in leaves.items():
        if leaf.shape != arrays[name].shape or leaf.dtype != arrays[name].dtype:
            raise ValueError(
                f"{name} has shape {arrays[name].shape} and type {arrays[name].dtype}, but the network's has "
                f"{leaf.shape} and {leaf.dtype}"
            )
    values = [jax.numpy.asarray(arrays[name]) for name in leaves]
    nnx.update(model, jax.tree.unflatten(jax.tree.structure(nnx.state(model, _STORED)), values))
