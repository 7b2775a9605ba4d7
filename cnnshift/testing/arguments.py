"""Validate the arguments that both assertions share."""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from cnnshift.errors import InputError
from cnnshift.sweep.pure_model import PureModel


def as_images(images: Any) -> np.ndarray:
    """Return images as a NumPy array of uint8 or float32.

    Args:
        images: an array [n h w c] of uint8 or any floating-point type.

    Raises:
        InputError: wrong shape or dtype, no images, or values that are not finite.
    """
    array = np.asarray(images)
    if jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(np.float32)
    elif array.dtype != np.uint8:
        raise InputError(f"images have dtype {array.dtype}; allowed: uint8 or floating point.")
    if array.ndim != 4 or not array.size:
        raise InputError(f"images have the shape {array.shape}; allowed: (n, height, width, channels), none of them 0.")
    if not np.isfinite(array).all():
        raise InputError("images contain values that are not finite.")
    return array


def check_batch_size(batch_size: int | None) -> None:
    """Raise InputError unless the batch size is None or a whole number of at least 1."""
    if batch_size is not None and (isinstance(batch_size, bool) or operator.index(batch_size) < 1):
        raise InputError(f"batch_size is {batch_size}; allowed: whole numbers from 1, or None.")


def output_shape(model: PureModel, shape: tuple[int, ...], argument: str) -> tuple[int, ...]:
    """Return the shape of a model's output for images of a shape (n, h, w, c), by abstract evaluation.

    Raises:
        InputError: the model cannot be traced, or does not return one array with a row per image. The message calls the
            model `argument`.
    """
    try:
        images = jax.ShapeDtypeStruct(shape, np.float32)
        output = jax.eval_shape(lambda state, images: model.apply(state, images)[0], model.state, images)
    except (
        jax.errors.TracerArrayConversionError,
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerIntegerConversionError,
        jax.errors.NonConcreteBooleanIndexError,
    ) as error:
        raise InputError(
            f"{argument} cannot be traced by JAX: {str(error).splitlines()[0].rstrip('.')}. Allowed: an NNX module, or "
            "a function that JAX can trace; wrap any other function in jax.pure_callback."
        ) from error
    if not isinstance(output, jax.ShapeDtypeStruct):
        raise InputError(f"{argument} returns a {type(output).__name__}; allowed: one array.")
    if not output.shape or output.shape[0] != shape[0]:
        raise InputError(
            f"{argument} returns an array of shape {output.shape} for {shape[0]} images; "
            f"allowed: one row per image, ({shape[0]}, …)."
        )
    return output.shape


def nearest_first(shifts: Int[np.ndarray, "s 2"]) -> Int[np.ndarray, " s"]:
    """Return the order of shifts by |d|∞, then |d|₁; among equals, down before up and right before left."""
    size = np.abs(shifts)
    return np.lexsort((-shifts[:, 1], -shifts[:, 0], size.sum(axis=1), size.max(axis=1)))
