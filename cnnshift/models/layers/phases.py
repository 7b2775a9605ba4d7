"""The four polyphase components of a map at stride 2."""

from __future__ import annotations

from jaxtyping import Array, Float


def phases(x: Float[Array, "n h w c"]) -> list[Float[Array, "n H W c"]]:
    """Components (0, 0), (0, 1), (1, 0), (1, 1): x[a::2, b::2], of ⌊h/2⌋ × ⌊w/2⌋.

    On odd sizes the last row or column is left out.
    """
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    return [x[:, a:height:2, b:width:2] for a in (0, 1) for b in (0, 1)]
