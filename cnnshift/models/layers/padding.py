"""Padding: the values beyond the border of a map.

Kayhan & van Gemert 2020 (section 3) show that zeros at the border reveal absolute positions to a network. Their
convolutions are `zero` (S-Conv), `valid` (V-Conv) and `full` (F-Conv), which applies every weight to every pixel.
"""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from cnnshift.models.layers.xla import jit_noinline

Padding = Literal["zero", "circular", "reflect", "replicate", "valid", "full"]
"""`zero`, `circular` (wraps around), `reflect` (mirrors, without repeating the border pixel) and `replicate` (repeats
the border pixel) keep the size of a map. `valid` adds nothing: the map shrinks. `full` adds k − 1 zeros on every side:
the map grows. With `circular`, layers are exactly equivariant to circular shifts; with the others, to shifts of content
that keeps its distance from the border."""

Margins = tuple[tuple[int, int], tuple[int, int]]
"""Pixels around a map: ((top, bottom), (left, right))."""

NO_MARGINS: Margins = ((0, 0), (0, 0))

ZERO_FILLED = ("zero", "valid", "full")
"""Paddings with zeros, or nothing, beyond the border."""


def pad_widths(window: int, padding: Padding) -> tuple[int, int]:
    """Return the numbers of pixels to add before and after each axis for a window of side k.

    ⌊(k−1)/2⌋ before and ⌊k/2⌋ after keep the size; `valid` adds none, `full` adds k − 1 on both sides.
    """
    if padding == "valid":
        return 0, 0
    if padding == "full":
        return window - 1, window - 1
    return (window - 1) // 2, window // 2


def pad(x: Float[Array, "n h w c"], window: int, padding: Padding) -> Float[Array, "n H W c"]:
    """Pad the input of a layer with that window."""
    widths = pad_widths(window, padding)
    return x if widths == (0, 0) else _pad_noinline(x, (widths, widths), padding)


def pad_margins(x: Float[Array, "n h w c"], margins: Margins, padding: Padding) -> Float[Array, "n H W c"]:
    """Pad maps by explicit margins; those larger than the map wrap around, or reflect, repeatedly."""
    if padding in ZERO_FILLED:
        return pad_zeros(x, margins)
    for axis, (before, after) in zip((1, 2), margins, strict=True):
        x = _extend(x, axis, before, after, padding)
    return x


def pad_zeros(x: Float[Array, "n h w c"], margins: Margins) -> Float[Array, "n H W c"]:
    """Pad maps with zeros."""
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((*pair, 0) for pair in margins), (0, 0, 0)))


def align_shortcut(x: Float[Array, "n h w c"], window: int, padding: Padding) -> Float[Array, "n H W c"]:
    """Crop or zero-pad a map to the output of a layer of stride 1 with that odd window and padding.

    `valid` crops the border and `full` adds zeros; the other paddings keep the size, and the map is returned unchanged.
    """
    margin = pad_widths(window, padding)[0] - (window - 1) // 2
    return pad_zeros(x, ((margin, margin), (margin, margin))) if margin else x


def output_size(size: int, window: int, padding: Padding, stride: int = 1) -> int:
    """Return the length of an axis after a layer with that window; below 1 if no position is left."""
    return (size + sum(pad_widths(window, padding)) - window) // stride + 1


def _extend(x: Array, axis: int, before: int, after: int, padding: Padding) -> Array:
    # Slices and one concatenation: faster on a CPU than jnp.pad's modes.
    size = x.shape[axis]
    modes: dict[str, Any] = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}
    sources = np.pad(np.arange(size), (before, after), mode=modes[padding])
    runs = [*_runs(sources[:before]), (0, size), *_runs(sources[before + size :])]
    return jnp.concatenate([lax.slice_in_dim(x, start, stop, axis=axis) for start, stop in runs], axis=axis)


def _runs(indices: np.ndarray) -> list[tuple[int, int]]:
    """Return the consecutive ranges (start, stop) that make up `indices`."""
    cuts = np.flatnonzero(np.diff(indices) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(indices, cuts) if len(run)]


_pad_noinline = jit_noinline(pad_margins, static_argnums=(1, 2))
