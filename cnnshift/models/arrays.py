"""The arrays of a Flax NNX module by name, as in files of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

_WEIGHTS = nnx.Not(nnx.RngState)


def arrays_by_name(model: nnx.Module) -> dict[str, Any]:
    """Return a model's arrays (or their abstract shapes) by name, such as `blocks.0.weights.kernel`."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.state(model, _WEIGHTS))
    return {array_name(path): leaf for path, leaf in leaves}


def array_name(path: tuple[Any, ...]) -> str:
    """Return the name of an array from its path in a tree, without the name of the NNX variable around it."""
    return jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value")


def arrays_digest(arrays: Iterable[tuple[str, np.ndarray]], code: str = "") -> str:
    """Return a SHA-256 over the digest of a model's code, if any, and the names, types, shapes and values of arrays."""
    digest = hashlib.sha256(code.encode())
    for name, array in arrays:
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def fill_arrays(model: nnx.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Replace all arrays of a model, which may be abstract.

    Raises:
        ValueError: a name, a shape or a type differs; the message names the first difference.
    """
    leaves = arrays_by_name(model)
    if different := sorted(leaves.keys() ^ arrays.keys()):
        owner = "the network has" if different[0] in leaves else "the weights have"
        raise ValueError(f"they belong to another network: only {owner} {different[0]}")
    for name, leaf in leaves.items():
        if leaf.shape != arrays[name].shape or leaf.dtype != arrays[name].dtype:
            raise ValueError(
                f"{name} has shape {arrays[name].shape} and type {arrays[name].dtype}, but the network's has "
                f"{leaf.shape} and {leaf.dtype}"
            )
    values = [jax.numpy.asarray(arrays[name]) for name in leaves]
    nnx.update(model, jax.tree.unflatten(jax.tree.structure(nnx.state(model, _WEIGHTS)), values))
