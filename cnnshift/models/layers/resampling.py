"""Ideal resampling on the torus: a map as the sum of its frequencies, seen on another grid.

The inverse transform of a part of the forward transform is one linear map per axis, and real where every frequency goes
with its mirror image: a matrix product. On maps of up to 32 pixels it takes a third of the time of the transforms
(8 channels, 32×32, one axis: 35 µs an image against 157 µs for both transforms), and rounds alike.
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
    """Apply a matrix to each axis; None leaves it as it is."""
    if rows is not None:
        x = jnp.einsum("ih,nhwc->niwc", jnp.asarray(rows, x.dtype), x)
    if columns is not None:
        x = jnp.einsum("jw,nhwc->nhjc", jnp.asarray(columns, x.dtype), x)
    return x


@functools.cache
def downsampling_matrix(size: int, stride: int, *, highest: bool) -> Float[np.ndarray, "m n"]:
    """Ideal low-pass to what m = n / s pixels hold, at every s-th pixel: y[j] = Σ_k X[k] e^(2πi k s j / n) / n.

    X is the Fourier transform; the sum is over |k| < m/2. An even m has a frequency m/2, of whose two signs a grid of m
    pixels can hold one.

    Args:
        size: n, a multiple of the stride.
        stride: s.
        highest: keep that one with one sign, of which the real part is taken: half of its amplitude. Otherwise it is
            dropped, and the result commutes with shifts by any fraction.
    """
    kept = size // stride
    return _interpolation(size, np.arange(kept) * stride, kept, 1.0 if highest else 0.0)


@functools.cache
def half_pixel_shift_matrix(size: int) -> Float[np.ndarray, "n n"]:
    """The map half a pixel further on, y[i] = x[i + ½]; the highest frequency n/2 of an even n is dropped."""
    return _interpolation(size, np.arange(size) + 0.5, size, 0.0)


def _interpolation(size: int, at: np.ndarray, band: int, highest: float) -> np.ndarray:
    """[i, j]: weight of x[j] in the sum of frequencies |k| < band / 2 at position at[i], and ± band / 2 once."""
    turns = 2 * np.pi * (at[:, None] - np.arange(size)[None]) / size
    total = np.ones(turns.shape)
    for k in range(1, (band + 1) // 2):
        total += 2 * np.cos(k * turns)
    if band % 2 == 0:
        total = total + highest * np.cos(band // 2 * turns)
    return total / size


def remove_nyquist(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """The map without the highest frequency of an even size, which no real shift moves by a fraction."""
    for axis in (1, 2):
        if x.shape[axis] % 2 == 0:
            signs = jnp.where(jnp.arange(x.shape[axis]) % 2 == 0, 1, -1).astype(x.dtype)
            signs = signs[None, :, None, None] if axis == 1 else signs[None, None, :, None]
            x = x - signs * (signs * x).mean(axis=axis, keepdims=True)
    return x
