"""From a map with positions to one vector per image."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Array, Float

Head = Literal["flatten", "gap", "gmp"]


def embed(features: Float[Array, "n h w c"], head: Head) -> Float[Array, "n e"]:
    """`flatten` keeps every position apart (e = h·w·c); `gap` and `gmp` take the mean and the maximum over them."""
    if head == "flatten":
        return features.reshape(len(features), -1)
    return features.mean(axis=(1, 2)) if head == "gap" else features.max(axis=(1, 2))


def embedding_size(height: int, width: int, channels: int, head: Head) -> int:
    """E of `embed`."""
    return height * width * channels if head == "flatten" else channels
