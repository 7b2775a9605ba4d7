"""A shortcut past a layer whose padding does not keep the size of a map."""

from __future__ import annotations

from jaxtyping import Array, Float

from cnnshift.models.layers.padding import Padding, pad_widths, pad_zeros


def align_shortcut(x: Float[Array, "n h w c"], window: int, padding: Padding) -> Float[Array, "n H W c"]:
    """The map, position for position beside the output at stride 1 of a layer with that odd window.

    `valid` leaves the border out, as the layer does; `full` surrounds it with zeros; the others keep the size, and then
    this is the identity.
    """
    more = pad_widths(window, padding)[0] - (window - 1) // 2
    return pad_zeros(x, ((more, more), (more, more))) if more else x
