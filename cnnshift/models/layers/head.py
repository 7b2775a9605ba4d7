"""Heads: from a feature map to one vector per image."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

Head = Literal["flatten", "gap", "gmp", "attention"]


class AttentionPool(nnx.Module):
    """e = Σ_p a_p z_p with a = softmax_p(z_p · q), q a learned query: a weighted mean over positions p.

    Like `gap` and `gmp`, invariant to circular shifts of the map, up to the rounding of reordered sums. The query
    starts normal with variance 1 / channels; a zero query gives the mean. This is the pooling of Ilse, Tomczak &
    Welling 2018 (section 2.4) with a linear score, whose bias would cancel in the softmax.
    """

    def __init__(self, channels: int, *, rngs: nnx.Rngs) -> None:
        self.query = nnx.Param(jax.random.normal(rngs.params(), (channels,)) / jnp.sqrt(channels))

    def __call__(self, features: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
        positions = features.reshape(features.shape[0], -1, features.shape[-1])
        attention = jax.nn.softmax(positions @ self.query[...], axis=1)
        return jnp.einsum("np,npc->nc", attention, positions)


def make_attention_pool(head: str, channels: int, *, rngs: nnx.Rngs) -> AttentionPool | None:
    """Build the weights of a head; None unless it is `attention`."""
    return AttentionPool(channels, rngs=rngs) if head == "attention" else None


def apply_head(
    features: Float[Array, "n h w c"], head: Head, attention: AttentionPool | None = None
) -> Float[Array, "n e"]:
    """Apply a head to feature maps.

    `flatten` concatenates all positions (e = h·w·c); `gap`, `gmp` and `attention` take the mean, the maximum and a
    weighted mean over positions (e = c).
    """
    if attention is not None:
        return attention(features)
    if head == "flatten":
        return features.reshape(features.shape[0], -1)
    return features.mean(axis=(1, 2)) if head == "gap" else features.max(axis=(1, 2))


def embedding_size(height: int, width: int, channels: int, head: Head) -> int:
    """Return the length e of the vector that a head returns."""
    return height * width * channels if head == "flatten" else channels
