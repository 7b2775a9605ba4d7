"""The four polyphase components of a map at stride 2."""

from __future__ import annotations

from jaxtyping import Array, Float


def even(x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
    """The map without an odd last row or column."""
    return x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]


def phases(x: Float[Array, "n h w c"]) -> list[Float[Array, "n H W c"]]:
    """Components (0, 0), (0, 1), (1, 0), (1, 1) of a map of even sizes: x[a::2, b::2]."""
    return [x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)]
