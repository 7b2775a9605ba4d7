"""Sharing forward passes between shifts: which models allow it, and for which shifts what has to be computed.

Let S be the total stride of a trunk φ that commutes with circular shifts by multiples of S: φ(T_{S q} x) = T_q φ(x), as
convolutions and poolings with circular padding do where S divides the height and the width. Every shift d is a phase
p = d mod S and a roll q = (d − p) / S, and

    φ(T_d x) = φ(T_{S q} T_p x) = T_q φ(T_p x).

S² forward passes of the trunk, one per phase, thus serve all H·W shifts. What is left for every shift is the head on
rolled features, and a head that pools over all positions does not see the roll.

The phases share passes too. Let φ be stages of strides s₁, s₂, …, each a part that commutes with every roll and a part
that lowers the resolution (see `Stage`). A phase is p = o₁ + s₁ o₂ + s₁ s₂ o₃ + …, 0 ≤ oᵢ < sᵢ, and

    φ(T_p x) = … sample₂(T_{o₂} dense₂(sample₁(T_{o₁} dense₁(x)))):

a tree, in which the first convolution runs once for all phases, the second s₁² times, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cnnshift.data.split import Split, to_unit_range
from cnnshift.models.base import ReadoutKind
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.shifts.sets import ShiftSet
from cnnshift.sweep.device import PRECISION
from cnnshift.sweep.pure_model import PureModel, stride_of_map

TOLERANCE = 1e-4
"""Largest deviation from equivariance, relative to the largest feature, that rounding explains."""

PROBES = 4
"""Images, and rolls of each, on which an unknown structure is measured."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the shifts of a sweep are made of phases and rolls.

    Attributes:
        stride: S.
        readout: how the head depends on the roll.
        levels: of the tree of phases: per stage the offsets o, in positions of its dense map. If not every phase
            occurs: a single level, the phases that do.
        phases: p, as shifts in pixels, in the order of the tree.
        rolls: q in feature pixels, all of the map, row by row; (0, 0) alone for a global head.
        index: of every shift, into phases × rolls.
        weights: how many of the shifts each phase and roll is.
    """

    stride: int
    readout: ReadoutKind
    levels: tuple[Int[np.ndarray, "_ 2"], ...]
    phases: Int[np.ndarray, "p 2"]
    rolls: Int[np.ndarray, "q 2"]
    index: Int[np.ndarray, " s"]
    weights: Float[np.ndarray, "p q"]


def find_sharing(subject: PureModel, split: Split, protocol: ShiftProtocol, shift_set: ShiftSet) -> Sharing | str:
    """How a sweep can share forward passes, or why it cannot.

    The structure of a zoo model tells; of other models that have `features`, `embed` and `classify` it is measured, on
    a few images and rolls, whether the trunk commutes with rolls and whether the head sees them.
    """
    if not protocol.wraps:
        return f"the protocol '{protocol.name}' does not wrap around"
    if shift_set.denominator != 1:
        return "it shares between shifts by whole pixels, and these are fractions"
    if shift_set.shifts.ndim == 3:
        return "every image has shifts of its own"
    parts = subject.parts
    if parts is None:
        return "the model does not show its features"
    stages = parts.stages(subject.state, split.size)
    if stages is not None:
        return _make([stage.stride for stage in stages], parts.readout, split.size, shift_set)
    if parts.readout != "any":
        return "its trunk is not equivariant: a border that does not wrap, weights that are not shared, or odd sizes"
    return _measured(subject, split, shift_set)


def _make(strides: Sequence[int], readout: ReadoutKind, size: tuple[int, int], shift_set: ShiftSet) -> Sharing:
    stride = math.prod(strides)
    shifts = shift_set.shifts % np.array(size, dtype=np.int32)
    phase, roll = shifts % stride, shifts // stride
    occurring = np.unique(phase, axis=0).astype(np.int32)
    levels = tuple(map(_offsets, strides)) if len(occurring) == stride**2 else (occurring,)
    phases = np.zeros((1, 2), np.int32)
    for index, offsets in enumerate(levels):
        phases = (phases[:, None] + math.prod(strides[:index]) * offsets).reshape(-1, 2)
    number = np.zeros((stride, stride), np.int64)
    number[tuple(phases.T)] = np.arange(len(phases))
    rows, columns = size[0] // stride, size[1] // stride
    if readout == "global":
        rolls, roll_index = np.zeros((1, 2), np.int32), np.zeros(len(shifts), np.int64)
    else:
        rolls = np.array([(a, b) for a in range(rows) for b in range(columns)], dtype=np.int32)
        roll_index = roll[:, 0] * columns + roll[:, 1]
    index = number[tuple(phase.T)] * len(rolls) + roll_index
    weights = np.bincount(index, minlength=len(phases) * len(rolls)).reshape(len(phases), len(rolls))
    return Sharing(stride, readout, levels, phases, rolls, index, weights.astype(np.float32))


def _offsets(stride: int) -> Int[np.ndarray, "_ 2"]:
    return np.array([(a, b) for a in range(stride) for b in range(stride)], dtype=np.int32)


def _measured(subject: PureModel, split: Split, shift_set: ShiftSet) -> Sharing | str:
    parts = subject.parts
    assert parts is not None
    images = to_unit_range(split.windows[:PROBES])
    with jax.default_matmul_precision(PRECISION):
        features = jax.jit(parts.features)
        at_rest = features(subject.state, images)
        stride = stride_of_map(at_rest.shape[1:], split.size)
        if isinstance(stride, str):
            return stride
        random = np.random.RandomState(0)
        rolls = [tuple(int(random.randint(size)) for size in at_rest.shape[1:3]) for _ in range(PROBES)] + [(1, 1)]
        for roll in rolls:
            pixels = (roll[0] * stride, roll[1] * stride)
            moved = features(subject.state, np.roll(images, pixels, axis=(1, 2)))
            if not _agree(moved, jnp.roll(at_rest, roll, axis=(1, 2))):
                return f"its trunk does not commute with a circular shift by {pixels} pixels"
        head = jax.jit(lambda state, z: parts.head(state, z)[0])
        logits = head(subject.state, at_rest)
        sees = not all(_agree(head(subject.state, jnp.roll(at_rest, roll, axis=(1, 2))), logits) for roll in rolls)
    return _make([stride], "any" if sees else "global", split.size, shift_set)


def _agree(a: Float[jax.Array, "*s"], b: Float[jax.Array, "*s"]) -> bool:
    return bool(jnp.abs(a - b).max() <= TOLERANCE * jnp.maximum(jnp.abs(b).max(), 1e-30))
