"""What a layer sees beyond the border of its input.

Kayhan & van Gemert 2020 (section 3) show that zeros at the border tell a network where it is. Their convolutions are
`zero` (S-Conv), `valid` (V-Conv) and `full` (F-Conv), which applies every weight to every pixel; `circular` has no
border at all.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from cnnshift.models.layers.xla import jit_noinline

Padding = Literal["zero", "circular", "reflect", "replicate", "valid", "full"]
"""`zero`, `circular` (wraps around), `reflect` (mirrored, border pixel not repeated) and `replicate` (border pixel
repeated) keep the size of a map; `valid` adds nothing, so that it shrinks; `full` adds k − 1 zeros on every side, so
that it grows. Equivariance to shifts is exact with `circular`, where the shift wraps around; with the others it is
exact for content that keeps its distance from the border."""

Margins = tuple[tuple[int, int], tuple[int, int]]
"""Pixels around a map: ((above, below), (left, right))."""

NO_MARGINS: Margins = ((0, 0), (0, 0))

ZERO_FILLED = ("zero", "valid", "full")
"""Paddings beyond whose border everything is zero, or nothing is asked for."""


def pad_widths(window: int, padding: Padding) -> tuple[int, int]:
    """Pixels before and after each image axis for a window of that size.

    ⌊(k−1)/2⌋ before and ⌊k/2⌋ after keep the resolution; `valid` adds none, `full` adds k − 1 on both sides.
    """
    if padding == "valid":
        return 0, 0
    if padding == "full":
        return window - 1, window - 1
    return (window - 1) // 2, window // 2


def pad(x: Float[Array, "n h w c"], window: int, padding: Padding) -> Float[Array, "n H W c"]:
    """Surround the input of a layer whose window has that size."""
    around = pad_widths(window, padding)
    return x if around == (0, 0) else _pad_noinline(x, (around, around), padding)


def pad_margins(x: Float[Array, "n h w c"], margins: Margins, padding: Padding) -> Float[Array, "n H W c"]:
    """Surround maps with margins of a padding.

    Where more is asked for than the map has, it goes around, or back and forth, as often as needed.
    """
    if padding in ZERO_FILLED:
        return pad_zeros(x, margins)
    for axis, (before, after) in zip((1, 2), margins, strict=True):
        x = _extend(x, axis, before, after, padding)
    return x


def pad_zeros(x: Float[Array, "n h w c"], margins: Margins) -> Float[Array, "n H W c"]:
    """Surround maps with zeros."""
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((*pair, 0) for pair in margins), (0, 0, 0)))


def output_size(size: int, window: int, padding: Padding, stride: int = 1) -> int:
    """Length of an axis after a layer with that window; below 1 if nothing is left."""
    return (size + sum(pad_widths(window, padding)) - window) // stride + 1


def _extend(x: Array, axis: int, before: int, after: int, padding: Padding) -> Array:
    # Slices and one concatenation: faster on a CPU than jnp.pad's modes.
    size = x.shape[axis]
    mode: Literal["wrap", "reflect", "edge"] = (
        "wrap" if padding == "circular" else "reflect" if padding == "reflect" else "edge"
    )
    sources = np.pad(np.arange(size), (before, after), mode=mode)
    runs = [*_runs(sources[:before]), (0, size), *_runs(sources[before + size :])]
    return jnp.concatenate([lax.slice_in_dim(x, start, stop, axis=axis) for start, stop in runs], axis=axis)


def _runs(indices: np.ndarray) -> list[tuple[int, int]]:
    """The ascending runs (start, stop) that make up `indices`."""
    cuts = np.flatnonzero(np.diff(indices) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(indices, cuts) if len(run)]


_pad_noinline = jit_noinline(pad_margins, static_argnums=(1, 2))
