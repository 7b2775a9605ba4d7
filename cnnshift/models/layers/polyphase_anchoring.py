"""Polyphase anchoring: every image is rolled so that the phase of largest norm comes first."""

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
    """y = T_{−a} x, a the phase (0 ≤ a < p on both axes) of the polyphase component of largest l2 norm, per image.

    `image`: the components of the image itself, x[a₁ + p·i, a₂ + p·j], over pixels and channels (Ding et al. 2023,
    section 3.2). `tokens`: the maps of tokens that the patch embedding makes of T_{−a} x, which are the components of
    its embedding at every pixel (Rojas-Gomez et al. 2024, section 4: adaptive tokenization); p² times the work of an
    embedding. The first of equal norms is taken. The choice has no gradient.

    A circular shift by d moves the components in a circle, and the same one is chosen: the phase of T_d x is
    a' = (a + d) mod p, so that T_{−a'} T_d x = T_{p·q} y with p·q = d + a − a'. What is equivariant to shifts by
    multiples of p thus becomes equivariant, by some multiple, to every shift.

    Exactness ends at ties, at norms that differ by less than the rounding of their sums, where p does not divide the
    sides, and at a border that does not wrap. Components of the image tie where they hold the same values in another
    order, as thin saturated strokes do; the norms of tokens see the order too.

    Args:
        patch: p.
        by: `image` or `tokens`.
    """

    def __init__(self, patch: int, by: Anchor) -> None:
        self.patch = patch
        self.by: Anchor = by

    def __call__(self, x: Float[Array, "n h w c"], embedding: PatchEmbedding) -> Float[Array, "n h w c"]:
        """Roll every image of a batch, for that embedding of its patches."""
        seen = lax.stop_gradient(x)
        if self.by == "tokens":
            seen = dense_patch_embedding(seen, *map(lax.stop_gradient, (embedding.kernel[...], embedding.bias[...])))
        return roll_back(x, largest_norm_phase(seen, self.patch), self.patch)


def largest_norm_phase(x: Float[Array, "n h w c"], p: int) -> Int[Array, "n 2"]:
    """The phase of largest l2 norm of every map."""
    squares = (x * x).sum(axis=-1)
    count, height, width = squares.shape
    energy = squares.reshape(count, height // p, p, width // p, p).sum(axis=(1, 3))
    choice = energy.reshape(count, p * p).argmax(axis=1)
    return jnp.stack([choice // p, choice % p], axis=1)


def roll_back(x: Float[Array, "n h w c"], phase: Int[Array, "n 2"], p: int) -> Float[Array, "n h w c"]:
    """T_{−a} of every map, 0 ≤ a < p."""
    around = jnp.pad(x, ((0, 0), (0, p - 1), (0, p - 1), (0, 0)), mode="wrap")
    return jax.vmap(lambda one, a: lax.dynamic_slice(one, (a[0], a[1], 0), x.shape[1:]))(around, phase)
