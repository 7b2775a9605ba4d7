"""The shortcut past a layer whose padding changes the size of a map."""

from __future__ import annotations

from jaxtyping import Array, Float

from cnnshift.models.layers.padding import Padding, pad_widths, pad_zeros


def align_shortcut(x: Float[Array, "n h w c"], window: int, padding: Padding) -> Float[Array, "n H W c"]:
    """Crop or zero-pad a map to the output of a layer of stride 1 with that odd window and padding.

    `valid` crops the border and `full` adds zeros; the other paddings keep the size, and the map is returned unchanged.
    """
    margin = pad_widths(window, padding)[0] - (window - 1) // 2
    return pad_zeros(x, ((margin, margin), (margin, margin))) if margin else x
