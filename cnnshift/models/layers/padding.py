"""What a layer sees beyond the border of its input.

Kayhan & van Gemert 2020 (section 3) show that zeros at the border tell a network where it is; `full` (their F-Conv)
applies every weight to every pixel, `circular` has no border at all.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = Literal["zero", "circular", "reflect", "replicate", "valid", "full"]

Margins = tuple[tuple[int, int], tuple[int, int]]
"""Pixels around a map: ((above, below), (left, right))."""

ZEROS = ("zero", "valid", "full")
"""Paddings beyond whose border everything is zero, or nothing is asked for."""

_MODES = {"zero": "constant", "full": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}


def amounts(window: int, padding: Padding) -> tuple[int, int]:
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
    before, after = amounts(window, padding)
    if not before and not after:
        return x
    if padding == "circular":
        # Concatenated slices: several times faster on CPU than a wrap pad of both axes at once.
        rows = jnp.concatenate([x[:, x.shape[1] - before :], x, x[:, :after]], axis=1)
        return jnp.concatenate([rows[:, :, rows.shape[2] - before :], rows, rows[:, :, :after]], axis=2)
    return jnp.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), mode=_MODES[padding])


def output_size(size: int, window: int, padding: Padding) -> int:
    """Length of an axis after a stride-1 layer with that window."""
    return size + sum(amounts(window, padding)) - window + 1
