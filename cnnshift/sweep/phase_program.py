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
from cnnshift.sweep.program import BlockResult, Reference, Sums, cosine_from_products, cosine_similarity, observe
from cnnshift.sweep.pure_model import SplitModel
from cnnshift.sweep.sharing import Sharing

Heads = Callable[[Array], tuple[Array, Array]]
"""Features of a phase [b h w c] → logits [q b k] and cosines [q b] of all its rolls."""


def phase_program(model: SplitModel, protocol: ShiftProtocol, sharing: Sharing) -> Wrapped:
    """Return the program (state, sources, labels, reference, image mask, weights, index) → `BlockResult` of all shifts.

    It visits the tree of phases depth first, so that it holds no more feature maps than a single forward pass.

    With a linear head, the logits of all rolls q of a map z are a circular correlation with the weights w,

        f_q = b + Σ_a z[a − q] w[a] = b + irfft2(conj(rfft2 z) · rfft2 w)[q],

    and so are the products of rolled with unrolled features in their cosine.
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
        stages = _stages(model, state, protocol.size, sharing)
        heads = _heads(model, sharing, state, reference)
        zeros = Sums(jnp.zeros_like(reference.logits), jnp.zeros_like(reference.logits))

        def visit(level: int, x: Float[Array, "b h w c"], counts: Float[Array, "*o q"]) -> tuple[Sums, Any]:
            if level == depth:
                return visit_leaf(x, counts)
            dense, offsets = stages[level].dense(x), sharing.levels[level]
            reach = int(offsets.max())
            padded = jnp.pad(dense, ((0, 0), (reach, 0), (reach, 0), (0, 0)), mode="wrap")

            def branch(total: Sums, inputs: tuple[Array, Array]) -> tuple[Sums, Any]:
                offset, counts = inputs
                rolled = lax.dynamic_slice(padded, (0, reach - offset[0], reach - offset[1], 0), dense.shape)
                sums, tables = visit(level + 1, stages[level].downsample(rolled), counts)
                return jax.tree.map(jnp.add, total, sums), tables

            return lax.scan(branch, zeros, (jnp.asarray(offsets), counts))

        def visit_leaf(features: Float[Array, "b h w c"], counts: Float[Array, " q"]) -> tuple[Sums, Any]:
            logits, cosine = heads(features)
            observation = jax.vmap(lambda f, c: observe(f, c, reference, labels))(logits, cosine)
            change = logits - reference.logits[None]
            sums = Sums(jnp.einsum("q,qbk->bk", counts, change), jnp.einsum("q,qbk->bk", counts, change**2))
            return sums, (observation, jnp.where(images_mask[None, :, None] > 0, change, 0).sum(axis=1))

        counts = weights.reshape(*map(len, sharing.levels), -1)
        sums, tables = visit(0, protocol.window(to_unit_range(sources)), counts)
        observation, shift_change = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[depth + 1 :])[index], tables)
        return BlockResult(observation, sums, shift_change)

    return jax.jit(program)


def _stages(model: SplitModel, state: Any, size: tuple[int, int], sharing: Sharing) -> Sequence[Stage]:
    """Return one stage per level of the tree."""
    stages = model.stages(state, size)
    if stages is None:
        return [Stage(sharing.stride, lambda x: x, lambda x: model.features(state, x))]
    if len(stages) == len(sharing.levels):
        return stages
    first, *rest = stages

    def downsample(x: Array) -> Array:
        return functools.reduce(lambda y, stage: stage.downsample(stage.dense(y)), rest, first.downsample(x))

    return [Stage(sharing.stride, first.dense, downsample)]


def _heads(model: SplitModel, sharing: Sharing, state: Any, reference: Reference) -> Heads:
    """Return the head on all rolls of a phase's features."""
    unrolled = reference.embedding
    assert unrolled is not None
    if sharing.readout == "global":

        def global_head(features: Array) -> tuple[Array, Array]:
            logits, embedding = model.head(state, features)
            return logits[None], cosine_similarity(embedding, unrolled)[None]

        return global_head
    if model.linear is not None:
        size = tuple(sharing.rolls.max(axis=0) + 1)
        return _linear_heads(model.linear(state), unrolled, (int(size[0]), int(size[1])))

    def any_head(features: Array) -> tuple[Array, Array]:
        def rolled(q: Array) -> tuple[Array, Array]:
            logits, embedding = model.head(state, jnp.roll(features, q, axis=(1, 2)))
            return logits, cosine_similarity(embedding, unrolled)

        return lax.map(rolled, jnp.asarray(sharing.rolls))

    return any_head


def _linear_heads(
    linear: tuple[Float[Array, "e k"], Float[Array, " k"]], unrolled: Float[Array, "b e"], size: tuple[int, int]
) -> Heads:
    kernel, bias = linear
    over_weights = jnp.fft.rfft2(kernel.reshape(*size, -1, kernel.shape[1]), axes=(0, 1))
    over_unrolled = jnp.fft.rfft2(unrolled.reshape(len(unrolled), *size, -1), axes=(1, 2))
    square_unrolled = (unrolled * unrolled).sum(axis=-1)

    def correlate(features: Array) -> tuple[Array, Array]:
        spectrum = jnp.conj(jnp.fft.rfft2(features, axes=(1, 2)))
        logits = jnp.fft.irfft2(jnp.einsum("nabc,abck->nabk", spectrum, over_weights), s=size, axes=(1, 2))
        products = jnp.fft.irfft2((spectrum * over_unrolled).sum(axis=-1), s=size, axes=(1, 2))
        count, classes = len(features), kernel.shape[1]
        squares = (features * features).sum(axis=(1, 2, 3))
        cosine = cosine_from_products(products.reshape(count, -1), squares[:, None], square_unrolled[:, None])
        return logits.reshape(count, -1, classes).swapaxes(0, 1) + bias[None, None], cosine.T

    return correlate
