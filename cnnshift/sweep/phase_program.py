"""The compiled program of a shared sweep: a tree of phases, and at its leaves the head on distinct rolled features."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.stages import Wrapped
from jaxtyping import Array, Float, Int, Shaped

from cnnshift.data.split import to_unit_range
from cnnshift.models.stage import Stage
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.sweep.program import BlockResult, Reference, Sums, cosine_from, cosine_of, see
from cnnshift.sweep.pure_model import SplitModel
from cnnshift.sweep.sharing import Sharing

Heads = Callable[[Array], tuple[Array, Array]]
"""Features of a phase [b h w c] → logits [q b k] and cosines [q b] of all its rolls."""


def phase_program(parts: SplitModel, protocol: ShiftProtocol, sharing: Sharing) -> Wrapped:
    """(state, sources, labels, reference, image mask, weights, index) → `BlockResult` over all shifts.

    The tree of phases is walked depth first, so that no more maps are held than in a single forward pass.

    With a linear head, the logits of all rolls q of a map z are a circular correlation with the weights w,

        f_q = b + Σ_a z[a − q] w[a] = b + irfft2(conj(rfft2 z) · rfft2 w)[q],

    and the products of rolled with unrolled features, which their cosine needs, are one as well.
    """
    depth = len(sharing.levels)

    def program(
        state: Any,
        sources: Shaped[Array, "b Hs Ws c"],
        labels: Int[Array, " b"],
        reference: Reference,
        images_mask: Float[Array, " b"],
        weights: Float[Array, "p q"],
        index: Int[Array, " s"],
    ) -> BlockResult:
        stages = _stages(parts, state, protocol.size, sharing)
        heads = _heads(parts, sharing, state, reference)
        nothing = Sums(jnp.zeros_like(reference.logits), jnp.zeros_like(reference.logits))

        def below(level: int, x: Float[Array, "b h w c"], counts: Float[Array, "*o q"]) -> tuple[Sums, Any]:
            """All phases that begin as x does."""
            if level == depth:
                return at_leaf(x, counts)
            dense, offsets = stages[level].dense(x), sharing.levels[level]
            reach = int(offsets.max())
            around = jnp.pad(dense, ((0, 0), (reach, 0), (reach, 0), (0, 0)), mode="wrap")

            def branch(total: Sums, inputs: tuple[Array, Array]) -> tuple[Sums, Any]:
                offset, counts = inputs
                rolled = lax.dynamic_slice(around, (0, reach - offset[0], reach - offset[1], 0), dense.shape)
                sums, tables = below(level + 1, stages[level].downsample(rolled), counts)
                return jax.tree.map(jnp.add, total, sums), tables

            return lax.scan(branch, nothing, (jnp.asarray(offsets), counts))

        def at_leaf(features: Float[Array, "b h w c"], counts: Float[Array, " q"]) -> tuple[Sums, Any]:
            logits, cosine = heads(features)
            seen = jax.vmap(lambda f, c: see(f, c, reference, labels))(logits, cosine)
            change = logits - reference.logits[None]
            sums = Sums(jnp.einsum("q,qbk->bk", counts, change), jnp.einsum("q,qbk->bk", counts, change**2))
            return sums, (seen, jnp.where(images_mask[None, :, None] > 0, change, 0).sum(axis=1))

        counts = weights.reshape(*map(len, sharing.levels), -1)
        sums, tables = below(0, protocol.window(to_unit_range(sources)), counts)
        seen, shift_change = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[depth + 1 :])[index], tables)
        return BlockResult(seen, sums, shift_change)

    return jax.jit(program)


def _stages(parts: SplitModel, state: Any, size: tuple[int, int], sharing: Sharing) -> Sequence[Stage]:
    """A stage for every level."""
    known = parts.stages(state, size)
    if known is None:
        return [Stage(sharing.stride, lambda x: x, lambda x: parts.features(state, x))]
    if len(known) == len(sharing.levels):
        return known
    first, *rest = known

    def others(x: Array) -> Array:
        return functools.reduce(lambda y, stage: stage.downsample(stage.dense(y)), rest, first.downsample(x))

    return [Stage(sharing.stride, first.dense, others)]


def _heads(parts: SplitModel, sharing: Sharing, state: Any, reference: Reference) -> Heads:
    """The head on all rolls of a phase's features."""
    unrolled = reference.embedding
    assert unrolled is not None
    if sharing.readout == "global":

        def once(features: Array) -> tuple[Array, Array]:
            logits, embedding = parts.head(state, features)
            return logits[None], cosine_of(embedding, unrolled)[None]

        return once
    if parts.linear is not None:
        size = tuple(sharing.rolls.max(axis=0) + 1)
        return _linear_heads(parts.linear(state), unrolled, (int(size[0]), int(size[1])))

    def each(features: Array) -> tuple[Array, Array]:
        def rolled(q: Array) -> tuple[Array, Array]:
            logits, embedding = parts.head(state, jnp.roll(features, q, axis=(1, 2)))
            return logits, cosine_of(embedding, unrolled)

        return lax.map(rolled, jnp.asarray(sharing.rolls))

    return each


def _linear_heads(
    linear: tuple[Float[Array, "e k"], Float[Array, " k"]], unrolled: Float[Array, "b e"], size: tuple[int, int]
) -> Heads:
    kernel, bias = linear
    over_weights = jnp.fft.rfft2(kernel.reshape(*size, -1, kernel.shape[1]), axes=(0, 1))
    over_unrolled = jnp.fft.rfft2(unrolled.reshape(len(unrolled), *size, -1), axes=(1, 2))
    square_unrolled = (unrolled * unrolled).sum(axis=-1)

    def correlated(features: Array) -> tuple[Array, Array]:
        spectrum = jnp.conj(jnp.fft.rfft2(features, axes=(1, 2)))
        logits = jnp.fft.irfft2(jnp.einsum("nabc,abck->nabk", spectrum, over_weights), s=size, axes=(1, 2))
        products = jnp.fft.irfft2((spectrum * over_unrolled).sum(axis=-1), s=size, axes=(1, 2))
        count, classes = len(features), kernel.shape[1]
        squares = (features * features).sum(axis=(1, 2, 3))
        cosine = cosine_from(products.reshape(count, -1), squares[:, None], square_unrolled[:, None])
        return logits.reshape(count, -1, classes).swapaxes(0, 1) + bias[None, None], cosine.T

    return correlated
