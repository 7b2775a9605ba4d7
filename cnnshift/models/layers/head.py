"""From a map with positions to one vector per image."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

Pooling = Literal["flatten", "gap", "gmp"]
"""The heads without weights, see `embed`."""

Head = Literal["flatten", "gap", "gmp", "attention"]
"""Those, and the one of `Readout` that has weights."""


class Readout(nnx.Module):
    """`embed`, or attention pooling: e = Σ_p a_p z_p with a = softmax_p(z_p · q), one learned query q for all images.

    Like `gap` and `gmp`, attention does not see where the features are: a roll of the map permutes the terms of its
    sums, whose value stays the same up to rounding. A zero query is the mean over the positions. The query starts
    normal with variance 1 / channels. This is the pooling of Ilse, Tomczak & Welling 2018 (section 2.4) with a linear
    score; a bias in the score would cancel in the softmax.

    Args:
        head: which.
        shape: (H, W, channels) of the map.
        rngs: of the initial query.

    Attributes:
        size: e, the length of the vector.
    """

    def __init__(self, head: Head, shape: tuple[int, int, int], *, rngs: nnx.Rngs) -> None:
        self.head: Head = head
        self.size = embedding_size(*shape, head)
        channels = shape[2]
        self.query = (
            nnx.Param(jax.random.normal(rngs.params(), (channels,)) / jnp.sqrt(channels))
            if head == "attention"
            else None
        )

    def __call__(self, features: Float[Array, "n h w c"]) -> Float[Array, "n e"]:
        """One vector per image."""
        if self.head != "attention":
            return embed(features, self.head)
        assert self.query is not None
        positions = features.reshape(len(features), -1, features.shape[-1])
        attention = jax.nn.softmax(positions @ self.query[...], axis=1)
        return jnp.einsum("np,npc->nc", attention, positions)


def embed(features: Float[Array, "n h w c"], head: Pooling) -> Float[Array, "n e"]:
    """`flatten` keeps every position apart (e = h·w·c); `gap` and `gmp` take the mean and the maximum over them."""
    if head == "flatten":
        return features.reshape(len(features), -1)
    return features.mean(axis=(1, 2)) if head == "gap" else features.max(axis=(1, 2))


def embedding_size(height: int, width: int, channels: int, head: Head) -> int:
    """Length of the vector that a head makes of a map."""
    return height * width * channels if head == "flatten" else channels
