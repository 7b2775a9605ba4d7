"""From a map with positions to one vector per image."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

Head = Literal["flatten", "gap", "gmp", "attention"]


class AttentionPool(nnx.Module):
    """e = Σ_p a_p z_p with a = softmax_p(z_p · q): a mean weighted by one learned query q, the same for all images.

    Like `gap` and `gmp`, it does not see where the features are: a roll of the map permutes the terms of its sums, so
    that the value stays, up to rounding. A zero query is the mean over the positions. The query starts normal with
    variance 1 / channels. This is the pooling of Ilse, Tomczak & Welling 2018 (section 2.4) with a linear score; a bias
    in the score would cancel in the softmax.
    """

    def __init__(self, channels: int, *, rngs: nnx.Rngs) -> None:
        self.query = nnx.Param(jax.random.normal(rngs.params(), (channels,)) / jnp.sqrt(channels))

    def __call__(self, features: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
        """One vector per image."""
        positions = features.reshape(features.shape[0], -1, features.shape[-1])
        attention = jax.nn.softmax(positions @ self.query[...], axis=1)
        return jnp.einsum("np,npc->nc", attention, positions)


def make_attention_pool(head: str, channels: int, *, rngs: nnx.Rngs) -> AttentionPool | None:
    """What `embed` needs beside the map, for the head that has weights; None for every other, or a family's own."""
    return AttentionPool(channels, rngs=rngs) if head == "attention" else None


def apply_head(
    features: Float[Array, "n h w c"], head: Head, attention: AttentionPool | None = None
) -> Float[Array, "n e"]:
    """`flatten` keeps every position apart (e = h·w·c); `gap` and `gmp` take the mean and the maximum over them.

    `attention` takes a weighted mean, by weights of its own (see `make_attention_pool`).
    """
    if head == "attention":
        assert attention is not None
        return attention(features)
    if head == "flatten":
        return features.reshape(features.shape[0], -1)
    return features.mean(axis=(1, 2)) if head == "gap" else features.max(axis=(1, 2))


def embedding_size(height: int, width: int, channels: int, head: Head) -> int:
    """Length of the vector that a head makes of a map."""
    return height * width * channels if head == "flatten" else channels
