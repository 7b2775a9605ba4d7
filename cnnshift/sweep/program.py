"""The two compiled programs of a sweep: the unshifted reference, and a block of shifts reduced to observations."""

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
    """The unshifted batch: logits, penultimate features, and ŷ, P_c, P_y from them."""

    logits: Float[Array, "b k"]
    embedding: Float[Array, "b e"] | None
    prediction: Int[Array, " b"]
    probability: Float[Array, " b"]
    label_probability: Float[Array, " b"]


class Seen(NamedTuple):
    """A shifted batch, per shift and image; see `Observations` for the meaning of each."""

    prediction: Int[Array, "*s b"]
    probability: Float[Array, "*s b"]
    label_probability: Float[Array, "*s b"]
    distance: Float[Array, "*s b"]
    cosine: Float[Array, "*s b"] | None


class Sums(NamedTuple):
    """Sums over the shifts of a block: logit changes and their squares, per image and class."""

    change: Float[Array, "b k"]
    square: Float[Array, "b k"]


class BlockResult(NamedTuple):
    """What a block program returns: a table over its shifts, sums over them, and sums over the images."""

    seen: Seen
    sums: Sums
    shift_change: Float[Array, "s k"]


def reference_program(apply: Apply, protocol: ShiftProtocol) -> Wrapped:
    """(state, sources, labels) → what the model says without a shift."""

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
    """(state, sources, labels, reference, image mask, shifts, shift mask) → `BlockResult`.

    Shifts are traced: one compilation serves every block of a sweep. They are taken `width` at a time (vmapped), the
    groups one after the other, so that memory does not grow with their number.

    Args:
        apply: the model.
        protocol: how images move.
        width: number of shifts evaluated at once; divides the number of shifts of a block.
        per_image: shifts are [s b 2], a shift of its own for every image, instead of [s 2].
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

        def observe(d: Real[Array, "*b 2"], counts: Float[Array, ""]) -> tuple[Seen, Sums, Float[Array, " k"]]:
            logits, embedding = apply(state, move(prepared, d))
            change = logits - reference.logits
            cosine = None
            if embedding is not None and reference.embedding is not None:
                cosine = cosine_of(embedding, reference.embedding)
            return (
                see(logits, cosine, reference, labels),
                Sums(counts * change, counts * change**2),
                jnp.where(images_mask[:, None] > 0, change, 0).sum(axis=0),
            )

        def group(total: Sums, inputs: tuple[Array, Array]) -> tuple[Sums, tuple[Seen, Array]]:
            d, counts = inputs
            if width == 1:
                seen, sums, shift_change = observe(d[0], counts[0])
                seen, shift_change = jax.tree.map(lambda leaf: leaf[None], (seen, shift_change))
            else:
                seen, sums, shift_change = jax.vmap(observe)(d, counts)
                sums = jax.tree.map(lambda leaf: leaf.sum(axis=0), sums)
            return jax.tree.map(jnp.add, total, sums), (seen, shift_change)

        grouped = shifts.reshape(-1, width, *shifts.shape[1:])
        nothing = Sums(jnp.zeros_like(reference.logits), jnp.zeros_like(reference.logits))
        sums, tables = lax.scan(group, nothing, (grouped, shifts_mask.reshape(-1, width)))
        seen, shift_change = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tables)
        return BlockResult(seen, sums, shift_change)

    return jax.jit(block)


def _pick(values: Float[Array, "b k"], index: Int[Array, " b"]) -> Float[Array, " b"]:
    return jnp.take_along_axis(values, index[:, None], axis=1)[:, 0]


def see(
    logits: Float[Array, "b k"], cosine: Float[Array, " b"] | None, reference: Reference, labels: Int[Array, " b"]
) -> Seen:
    """What is kept of the logits of one shift."""
    probability = jax.nn.softmax(logits)
    return Seen(
        logits.argmax(axis=-1),
        _pick(probability, reference.prediction),
        _pick(probability, labels),
        jnp.sqrt(((logits - reference.logits) ** 2).sum(axis=-1)),
        cosine,
    )


def cosine_of(a: Float[Array, "b e"], b: Float[Array, "b e"]) -> Float[Array, " b"]:
    """cos(a, b) per row; 1 where both are zero, 0 where only one is: a dead feature vector has not turned."""
    return cosine_from((a * b).sum(axis=-1), (a * a).sum(axis=-1), (b * b).sum(axis=-1))


def cosine_from(
    product: Float[Array, "*#s"], square_a: Float[Array, "*#s"], square_b: Float[Array, "*#s"]
) -> Float[Array, "*#s"]:
    """The same from ⟨a, b⟩, ‖a‖² and ‖b‖²."""
    both_zero = (square_a == 0) & (square_b == 0)
    norms = jnp.sqrt(square_a) * jnp.sqrt(square_b)
    return jnp.where(both_zero, 1.0, jnp.clip(product / jnp.where(norms > 0, norms, 1), -1, 1))
