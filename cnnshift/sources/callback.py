"""A function of numpy arrays inside a compiled program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.sources.base import Network


def called_back(function: Callable[[np.ndarray], Any]) -> Callable[[Array], Array]:
    """A traceable function that leaves the program, calls `function` on the host, and comes back.

    The number of classes is found, once for a shape, by a call with one black image.

    Args:
        function: images, a contiguous 32-bit array whose first axis is n → logits [n k].

    Raises:
        InputError: when traced: the function raises, or gives no [n k] array of numbers.
    """

    @functools.cache
    def classes(shape: tuple[int, ...]) -> int:
        return _logits(function, np.zeros((1, *shape), np.float32)).shape[1]

    def call(images: Float[Array, "n _ _ _"]) -> Float[Array, "n k"]:
        result = jax.ShapeDtypeStruct((len(images), classes(images.shape[1:])), jnp.float32)
        return jax.pure_callback(lambda x: _logits(function, np.asarray(x)), result, images, vmap_method="sequential")

    return call


def in_batches(function: Callable[[np.ndarray], Any], size: int) -> Callable[[np.ndarray], Any]:
    """A function of any number of images, from one that takes `size` at a time: the last ones are repeated."""

    def call(images: Float[np.ndarray, "n _ _ _"]) -> Any:
        missing = -len(images) % size
        whole = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        parts = [function(whole[first : first + size]) for first in range(0, len(whole), size)]
        return np.concatenate([np.asarray(part) for part in parts])[: len(images)]

    return call


def traceable(network: Network, shape: tuple[int, int, int]) -> Network:
    """The network, through a call back to the host if its function asks for arrays of numpy.

    Args:
        network: its function takes prepared images.
        shape: (H, W, channels) of the images before they are prepared.

    Raises:
        InputError: it has names of classes, and another number of logits: names that do not belong to it.
    """
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    try:
        logits = jax.eval_shape(lambda x: network.model(network.preprocess(x)), images)
    except jax.errors.TracerArrayConversionError:
        return traceable(replace(network, model=called_back(network.model), called_back=True), shape)
    except Exception:
        # What else it raises, it will raise again when it is checked against the data, and be told there.
        return network
    names, found = network.classes, getattr(logits, "shape", ())
    if names is not None and len(found) == 2 and found[1] != len(names):
        raise InputError(
            f"The model gives {found[1]:,} logits, but classes names {len(names):,}; allowed: one name each."
        )
    return network


def _logits(function: Callable[[np.ndarray], Any], images: np.ndarray) -> Float[np.ndarray, "n k"]:
    found = function(np.ascontiguousarray(images, np.float32))
    try:
        logits = np.asarray(found, np.float32)
    except (TypeError, ValueError):
        raise InputError(
            f"The model gives {type(found).__name__} for {len(images)} images; allowed: an array [n k]."
        ) from None
    if logits.ndim != 2 or len(logits) != len(images):
        n = len(images)
        raise InputError(f"The model gives shape {logits.shape} for {n} images; allowed: logits [n k], here [{n} k].")
    return logits
