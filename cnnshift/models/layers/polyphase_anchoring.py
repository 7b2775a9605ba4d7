"""Polyphase anchoring: roll every image so that its polyphase component of largest norm comes first."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int

from cnnshift.models.layers.patch_embedding import PatchEmbedding, dense_patch_embedding

Anchor = Literal["image", "tokens"]


class PolyphaseAnchoring(nnx.Module):
    """y = T_{−a} x, a the offset of the p×p polyphase component of largest l2 norm, per image; 0 ≤ a < p.

    p is the side of a patch. `image`: components x[a₁ + p·i, a₂ + p·j] of the image, over pixels and channels (Ding et
    al. 2023, section 3.2). `tokens`: the token maps of T_{−a} x, which are the components of the embedding at every
    pixel (Rojas-Gomez et al. 2024, section 4: adaptive tokenization), at p² times the work of an embedding. Of equal
    norms, the first is taken. The choice has no gradient.

    A circular shift by d permutes the components, and the same one is selected: the offset of T_d x is a' = (a + d) mod
    p, so that T_{−a'} T_d x = T_{p·q} y with p·q = d + a − a'. A layer that is equivariant to shifts by multiples of p
    thus becomes equivariant to every shift, with output shifts by multiples of p.

    The property is not exact for ties, for norms that differ by less than the rounding of their sums, where p does not
    divide the sides, and for borders that are not circular. Components of the image tie if they hold the same values in
    another order, as thin saturated strokes do; norms of tokens depend on the order too.
    """

    def __init__(self, patch: int, anchor: Anchor) -> None:
        self.patch = patch
        self.anchor: Anchor = anchor

    def __call__(self, x: Float[Array, "n h w c"], embedding: PatchEmbedding) -> Float[Array, "n h w c"]:
        """Roll every image by the offset that its components, or their tokens in this embedding, select."""
        scored = lax.stop_gradient(x)
        if self.anchor == "tokens":
            weights = map(lax.stop_gradient, (embedding.kernel[...], embedding.bias[...]))
            scored = dense_patch_embedding(scored, *weights)
        return roll_back(x, largest_component(scored, self.patch), self.patch)


def largest_component(x: Float[Array, "n h w c"], p: int) -> Int[Array, "n 2"]:
    """Return the offset of the polyphase component of largest l2 norm, per map."""
    squares = (x * x).sum(axis=-1)
    count, height, width = squares.shape
    energy = squares.reshape(count, height // p, p, width // p, p).sum(axis=(1, 3))
    choice = energy.reshape(count, p * p).argmax(axis=1)
    return jnp.stack([choice // p, choice % p], axis=1)


def roll_back(x: Float[Array, "n h w c"], offset: Int[Array, "n 2"], p: int) -> Float[Array, "n h w c"]:
    """Return T_{−a} x per map, 0 ≤ a < p."""
    padded = jnp.pad(x, ((0, 0), (0, p - 1), (0, p - 1), (0, 0)), mode="wrap")
    return jax.vmap(lambda one, a: lax.dynamic_slice(one, (a[0], a[1], 0), x.shape[1:]))(padded, offset)
