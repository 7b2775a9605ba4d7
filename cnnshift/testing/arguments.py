"""What both assertions check before they run anything, and the words they share."""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from cnnshift.errors import InputError
from cnnshift.sweep.pure_model import PureModel

UNTRACEABLE = (
    jax.errors.TracerArrayConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def as_images(images: Any) -> np.ndarray:
    """Images in memory: bytes as they are, all floats in 32 bits.

    Args:
        images: an array [n h w c] of numpy or jax, uint8 or of any float type.

    Raises:
        InputError: another shape or type, no images, or values that are not finite.
    """
    array = np.asarray(images)
    if jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(np.float32)
    elif array.dtype != np.uint8:
        raise InputError(f"images are {array.dtype}; allowed: uint8, or floats.")
    if array.ndim != 4 or not array.size:
        raise InputError(f"images have the shape {array.shape}; allowed: (n, height, width, channels), none of them 0.")
    if not np.isfinite(array).all():
        raise InputError("images hold values that are not finite; allowed: finite numbers.")
    return array


def check_batch_size(batch_size: int | None) -> None:
    """Refuse a batch size below 1.

    Raises:
        InputError: it is not None and not a whole number from 1.
    """
    if batch_size is not None and (isinstance(batch_size, bool) or operator.index(batch_size) < 1):
        raise InputError(f"batch_size is {batch_size}; allowed: whole numbers of images from 1, or None.")


def output_shape(subject: PureModel, shape: tuple[int, ...], argument: str) -> tuple[int, ...]:
    """The shape of what a subject gives for images of a shape; nothing is computed.

    Args:
        subject: the model or layer.
        shape: (n, h, w, c).
        argument: what the caller's argument is called, for the message.

    Raises:
        InputError: the subject cannot be traced, or does not give one array with a row per image.
    """
    try:
        output = jax.eval_shape(
            lambda state, images: subject.apply(state, images)[0],
            subject.state,
            jax.ShapeDtypeStruct(shape, np.float32),
        )
    except UNTRACEABLE as error:
        raise InputError(
            f"{argument} cannot be traced by JAX: {str(error).splitlines()[0].rstrip('.')}. Allowed: an NNX module, "
            f"or a function that JAX can trace; jax.pure_callback makes one of any other."
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
    """Order of shifts by |d|∞, then |d|₁; of equals, down comes before up and right before left."""
    size = np.abs(shifts)
    return np.lexsort((-shifts[:, 1], -shifts[:, 0], size.sum(axis=1), size.max(axis=1)))
