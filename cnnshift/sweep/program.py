"""The compiled programs of a sweep: the unshifted reference, and a block of shifts reduced to observations."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.stages import Wrapped
from jaxtyping import Array, Float, Int, Real, Shaped

from cnnshift.data.split import to_unit_range
from cnnshift.errors import InputError
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.sweep.pure_model import Apply


class Reference(NamedTuple):
    """Logits and penultimate features of unshifted images, with ŷ, P_ŷ and P_y."""

    logits: Float[Array, "b k"]
    embedding: Float[Array, "b e"] | None
    prediction: Int[Array, " b"]
    probability: Float[Array, " b"]
    label_probability: Float[Array, " b"]


class Observation(NamedTuple):
    """Observations of a shifted batch; the fields have the meaning of those of `Observations`."""

    prediction: Int[Array, "*s b"]
    probability: Float[Array, "*s b"]
    label_probability: Float[Array, "*s b"]
    distance: Float[Array, "*s b"]
    cosine: Float[Array, "*s b"] | None


class Sums(NamedTuple):
    """Sums over shifts of the changes of the logits and of their squares."""

    change: Float[Array, "b k"]
    square: Float[Array, "b k"]


class BlockResult(NamedTuple):
    """Result of a block program: observations per shift, sums over its shifts, and sums over its images."""

    observation: Observation
    sums: Sums
    shift_change: Float[Array, "s k"]


def reference_program(apply: Apply, protocol: ShiftProtocol) -> Wrapped:
    """Return the program (state, sources, labels) → `Reference`.

    Raises:
        InputError: When traced: the model does not return logits [b k].
    """

    def reference(state: Any, sources: Shaped[Array, "b Hs Ws c"], labels: Int[Array, " b"]) -> Reference:
        logits, embedding = apply(state, protocol.window(to_unit_range(sources)))
        if logits.ndim != 2 or len(logits) != len(sources):
            raise InputError(
                f"The model returned an array of shape {logits.shape} for {len(sources)} images; "
                f"allowed: ({len(sources)}, number of classes)."
            )
        prediction = logits.argmax(axis=-1)
        probability = jax.nn.softmax(logits)
        return Reference(logits, embedding, prediction, _pick(probability, prediction), _pick(probability, labels))

    return jax.jit(reference)


def block_program(apply: Apply, protocol: ShiftProtocol, *, width: int, per_image: bool) -> Wrapped:
    """Return the program (state, sources, labels, reference, image mask, shifts, shift mask) → `BlockResult`.

    Shifts are traced: one compilation serves all blocks of a sweep. `width` shifts are evaluated at once (vmap), groups
    of them in sequence, so that memory does not grow with the number of shifts.

    Args:
        apply: the model.
        protocol: how images move.
        width: divisor of the number of shifts of a block.
        per_image: whether shifts are [s b 2], one per image, instead of [s 2].
    """
    move = protocol.move_each if per_image else protocol.move

    def block(
        state: Any,
        sources: Shaped[Array, "b Hs Ws c"],
        labels: Int[Array, " b"],
        reference: Reference,
        images_mask: Float[Array, " b"],
        shifts: Real[Array, "s *b 2"],
        shifts_mask: Float[Array, " s"],
    ) -> BlockResult:
        prepared = protocol.prepare(to_unit_range(sources))

        def evaluate(d: Real[Array, "*b 2"], counts: Float[Array, ""]) -> tuple[Observation, Sums, Float[Array, " k"]]:
            logits, embedding = apply(state, move(prepared, d))
            change = logits - reference.logits
            cosine = None
            if embedding is not None and reference.embedding is not None:
                cosine = cosine_similarity(embedding, reference.embedding)
            return (
                observe(logits, cosine, reference, labels),
                Sums(counts * change, counts * change**2),
                jnp.where(images_mask[:, None] > 0, change, 0).sum(axis=0),
            )

        def group(total: Sums, inputs: tuple[Array, Array]) -> tuple[Sums, tuple[Observation, Array]]:
            d, counts = inputs
            if width == 1:
                observation, sums, shift_change = evaluate(d[0], counts[0])
                observation, shift_change = jax.tree.map(lambda leaf: leaf[None], (observation, shift_change))
            else:
                observation, sums, shift_change = jax.vmap(evaluate)(d, counts)
                sums = jax.tree.map(lambda leaf: leaf.sum(axis=0), sums)
            return jax.tree.map(jnp.add, total, sums), (observation, shift_change)

        grouped = shifts.reshape(-1, width, *shifts.shape[1:])
        zeros = Sums(jnp.zeros_like(reference.logits), jnp.zeros_like(reference.logits))
        sums, tables = lax.scan(group, zeros, (grouped, shifts_mask.reshape(-1, width)))
        observation, shift_change = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tables)
        return BlockResult(observation, sums, shift_change)

    return jax.jit(block)


def _pick(values: Float[Array, "b k"], index: Int[Array, " b"]) -> Float[Array, " b"]:
    return jnp.take_along_axis(values, index[:, None], axis=1)[:, 0]


def observe(
    logits: Float[Array, "b k"], cosine: Float[Array, " b"] | None, reference: Reference, labels: Int[Array, " b"]
) -> Observation:
    """Reduce the logits of one shift to observations."""
    probability = jax.nn.softmax(logits)
    return Observation(
        logits.argmax(axis=-1),
        _pick(probability, reference.prediction),
        _pick(probability, labels),
        jnp.sqrt(((logits - reference.logits) ** 2).sum(axis=-1)),
        cosine,
    )


def cosine_similarity(a: Float[Array, "b e"], b: Float[Array, "b e"]) -> Float[Array, " b"]:
    """Return cos(a, b) per row: 1 where both rows are zero, 0 where only one is."""
    return cosine_from_products((a * b).sum(axis=-1), (a * a).sum(axis=-1), (b * b).sum(axis=-1))


def cosine_from_products(
    product: Float[Array, "*#s"], square_a: Float[Array, "*#s"], square_b: Float[Array, "*#s"]
) -> Float[Array, "*#s"]:
    """Return `cosine_similarity` from ⟨a, b⟩, ‖a‖² and ‖b‖²."""
    both_zero = (square_a == 0) & (square_b == 0)
    norms = jnp.sqrt(square_a) * jnp.sqrt(square_b)
    return jnp.where(both_zero, 1.0, jnp.clip(product / jnp.where(norms > 0, norms, 1), -1, 1))
