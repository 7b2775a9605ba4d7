"""`assert_shift_equivariant`: assert that the output of a layer shifts with its input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cnnshift.data.split import to_unit_range
from cnnshift.errors import InputError, MeasurementError
from cnnshift.pixel_length import format_shift
from cnnshift.sweep.device import PRECISION
from cnnshift.sweep.pure_model import PureModel, as_pure_model
from cnnshift.testing.arguments import as_images, check_batch_size, nearest_first, output_shape
from cnnshift.testing.borders import describe_extent


def assert_shift_equivariant(
    layer: Callable[[Any], Any],
    images: Any,
    *,
    stride: int | tuple[int, int] = 1,
    shifts: Sequence[tuple[int, int]] | np.ndarray | None = None,
    atol: float | int = 1e-8,
    rtol: float | int = 1e-5,
    batch_size: int | None = None,
) -> None:
    """Assert that a layer, or a stack of layers, commutes with circular shifts.

    For every image x and every shift d that is a multiple of the stride s:
    ‖f(T_d x) − T_{d/s} f(x)‖∞ ≤ atol + rtol · ‖f(x)‖∞. A vector output must not change at all.
    The shift is an argument of one compiled program.

    Args:
        layer: an NNX module (a copy runs in evaluation mode), or a function that JAX can trace,
            [n h w c] → [n h/s w/s e] or [n e].
        images: images or feature maps [n h w c], uint8 (converted to the scale 0..1) or floats of any range.
        stride: s in pixels, one number or (vertical, horizontal).
        shifts: (dy, dx) in pixels, taken modulo (h, w). Default: all multiples of the stride, which are
            (h/s)·(w/s) − 1 passes over the images.
        atol: absolute tolerance. 0 with `rtol` 0 requires bitwise equality.
        rtol: tolerance relative to the largest output for the unshifted image.
        batch_size: images per compiled step, by default at most 128.

    Raises:
        AssertionError: an error exceeds the tolerance. The message states the largest error over all images, shifts
            and output positions, and whether the errors at the smallest failing shift are confined to the border
            (padding) or not (aliasing, positional weights).
        InputError: an argument is not allowed, the stride does not divide the image size, or the size of the output is
            not 1/s of that of the input.
        MeasurementError: the layer returned values that are not finite; the message states the image and the shift.

    Example:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> import cnnshift
        >>> images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
        >>> cnnshift.assert_shift_equivariant(lambda x: x + jnp.roll(x, 1, axis=1), images)
        >>> cnnshift.assert_shift_equivariant(lambda x: x[:, ::2, ::2], images, stride=2)
    """
    __tracebackhide__ = True
    check_batch_size(batch_size)
    for name, value in (("atol", atol), ("rtol", rtol)):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} is {value}; allowed: finite numbers from 0.")
    pixels = to_unit_range(as_images(images))
    strides = _parse_stride(stride, pixels.shape[1:3])
    enumerated = _parse_shifts(shifts, strides, pixels.shape[1:3])
    model = as_pure_model(layer)
    _check_output(output_shape(model, pixels.shape, "layer"), pixels.shape, strides)
    with jax.default_matmul_precision(PRECISION):
        message = _find_violations(model, pixels, enumerated, strides, (atol, rtol), batch_size or 128)
    if message is not None:
        raise AssertionError(message)


def _find_violations(
    model: PureModel,
    pixels: Float[np.ndarray, "n h w c"],
    shifts: Int[np.ndarray, "s 2"],
    strides: tuple[int, int],
    tolerance: tuple[float | int, float | int],
    limit: int,
) -> str | None:
    """Return a description of the errors that exceed the tolerance, or None."""
    total = len(pixels)
    count = math.ceil(total / limit)
    size = math.ceil(total / count)
    # Pad with copies of the first image, so that all batches have the same shape and share one compilation.
    padded = np.concatenate([pixels, np.repeat(pixels[:1], size * count - total, axis=0)])
    batches = [jnp.asarray(padded[start : start + size]) for start in range(0, len(padded), size)]

    @jax.jit
    def run(state: Any, images: Array, d: Array) -> Array:
        output = model.apply(state, jnp.roll(images, d, axis=(1, 2)))[0]
        return output.astype(jnp.promote_types(output.dtype, jnp.float32))

    @jax.jit
    def compare(unshifted: Array, moved: Array, d: Array) -> tuple[Array, Array]:
        error = jnp.abs(moved - (jnp.roll(unshifted, d, axis=(1, 2)) if unshifted.ndim == 4 else unshifted))
        return error, error.max(axis=tuple(range(1, error.ndim)))

    def errors(d: np.ndarray, part: int) -> np.ndarray:
        d_out = (d // np.array(strides)).astype(np.int32)
        results = [
            compare(before, run(model.state, batch, d), d_out) for before, batch in zip(unshifted, batches, strict=True)
        ]
        return np.concatenate([np.asarray(result[part]) for result in results])[:total]

    # Unshifted and shifted images run through the same program, so that they round alike.
    unshifted = [run(model.state, batch, np.zeros(2, np.int32)) for batch in batches]
    scale = np.concatenate([np.abs(np.asarray(each)).reshape(size, -1).max(axis=1) for each in unshifted])[:total]
    _check_finite(scale, np.zeros(2, np.int32))
    allowed = tolerance[0] + tolerance[1] * scale.astype(np.float64)
    largest = np.stack([_check_finite(errors(d, 1), d) for d in shifts])
    failing = largest > allowed
    if not failing.any():
        return None
    worst, image = (int(i) for i in np.unravel_index(np.where(failing, largest, -1.0).argmax(), largest.shape))
    error = errors(shifts[worst], 0)[image]
    position = np.unravel_index(error.argmax(), error.shape)
    names = ("row", "column", "channel") if error.ndim == 3 else ("component",)
    ratio = (
        f"{largest[worst, image] / scale[image]:.3g} of the largest unshifted output"
        if scale[image]
        else "the unshifted output is 0"
    )
    extent = ""
    if error.ndim == 3:
        nearest = shifts[failing.any(axis=1).argmax()]
        failing_positions = np.asarray((errors(nearest, 0) > allowed[:, None, None, None]).any(axis=(0, 3)))
        extent = describe_extent(failing_positions, nearest // np.array(strides))
        extent = f" The smallest of these shifts, {format_shift(nearest)}, {extent}."
    stride = strides[0] if strides[0] == strides[1] else strides
    return (
        f"layer is not shift {'equivariant' if extent else 'invariant'} [circular, stride {stride}]: the largest error "
        f"is {largest[worst, image]:.3g} ({ratio}), allowed {allowed[image]:.3g}, for image {image} at shift "
        f"{format_shift(shifts[worst])}, output {', '.join(f'{n} {i}' for n, i in zip(names, position, strict=True))}. "
        f"{failing.any(axis=1).sum()} of {len(shifts)} shifts and {failing.any(axis=0).sum()} of {total} images exceed "
        f"the tolerance.{extent}"
    )


def _check_finite(values: Float[np.ndarray, " n"], d: np.ndarray) -> Float[np.ndarray, " n"]:
    if len(wrong := np.flatnonzero(~np.isfinite(values))):
        raise MeasurementError(
            f"The layer returned values that are not finite for image {wrong[0]} at shift {format_shift(d)}."
        )
    return values


def _parse_stride(stride: int | tuple[int, int], size: tuple[int, ...]) -> tuple[int, int]:
    strides = (stride, stride) if isinstance(stride, int | np.integer) else tuple(stride)
    if len(strides) != 2 or any(isinstance(s, bool) or not isinstance(s, int | np.integer) or s < 1 for s in strides):
        raise InputError(
            f"stride is {stride}; allowed: a whole number of pixels from 1, or two, (vertical, horizontal)."
        )
    if size[0] % strides[0] or size[1] % strides[1]:
        raise InputError(
            f"stride is {stride}, which does not divide the {size[0]}×{size[1]} images; "
            f"allowed: divisors of both sides."
        )
    return int(strides[0]), int(strides[1])


def _parse_shifts(shifts: Any, strides: tuple[int, int], size: tuple[int, ...]) -> Int[np.ndarray, "s 2"]:
    """Return the distinct shifts except (0, 0) as representatives nearest to 0, nearest first."""
    if shifts is None:
        array = np.array([(y, x) for y in range(0, size[0], strides[0]) for x in range(0, size[1], strides[1])])
    else:
        array = np.asarray(shifts)
        if array.ndim != 2 or array.shape[1] != 2 or not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"shifts are {shifts}; allowed: a list of (dy, dx) in whole pixels.")
        if len(wrong := array[(array % np.array(strides)).any(axis=1)]):
            raise InputError(
                f"shifts contain {format_shift(wrong[0])}; allowed: multiples of the stride, {strides[0]} and "
                f"{strides[1]}."
            )
    half = (np.array(size) - 1) // 2
    distinct = np.unique((array + half) % np.array(size) - half, axis=0)
    distinct = distinct[distinct.any(axis=1)].astype(np.int32)
    if not len(distinct):
        raise InputError(
            f"shifts do not move {size[0]}×{size[1]} images at stride {strides}; allowed: at least one that moves them."
        )
    return distinct[nearest_first(distinct)]


def _check_output(shape: tuple[int, ...], images: tuple[int, ...], strides: tuple[int, int]) -> None:
    if len(shape) not in (2, 4) or 0 in shape:
        raise InputError(f"layer returns an array of shape {shape}; allowed: maps (n, h, w, c), or vectors (n, e).")
    expected = images[1] // strides[0], images[2] // strides[1]
    if len(shape) == 4 and shape[1:3] != expected:
        actual = images[1] / shape[1], images[2] / shape[2]
        hint = f", or stride=({actual[0]:.0f}, {actual[1]:.0f})" if all(map(float.is_integer, actual)) else ""
        raise InputError(
            f"layer returns maps of {shape[1]}×{shape[2]} for images of {images[1]}×{images[2]}, "
            f"and stride is {strides}; allowed: maps of {expected[0]}×{expected[1]}{hint}."
        )
