"""Decide whether a model can share forward passes between shifts, and divide the shifts into phases and rolls.

Let S be the total stride of features φ that commute with circular shifts by multiples of S: φ(T_{S q} x) = T_q φ(x), as
convolutions and poolings with circular padding do if S divides height and width. Every shift d is a phase p = d mod S
and a roll q = (d − p) / S, and

    φ(T_d x) = φ(T_{S q} T_p x) = T_q φ(T_p x).

S² passes through φ, one per phase, thus serve all H·W shifts. Per shift only the head on rolled features remains, and a
head that pools over all positions does not depend on the roll.

The phases share passes too. Let φ consist of stages of strides s₁, s₂, …, each of a dense part that commutes with every
roll and a downsampling (see `Stage`). A phase is p = o₁ + s₁ o₂ + s₁ s₂ o₃ + …, 0 ≤ oᵢ < sᵢ, and

    φ(T_p x) = … downsample₂(T_{o₂} dense₂(downsample₁(T_{o₁} dense₁(x)))):

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
from cnnshift.sweep.pure_model import PureModel, SplitModel, map_stride
from cnnshift.unavailable import Unavailable

TOLERANCE = 1e-4
"""Largest deviation from equivariance, relative to the largest feature, that rounding explains."""

PROBES = 4
"""Number of images, and of rolls of each, on which an unknown structure is measured."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Decomposition of the shifts of a sweep into phases and rolls.

    Attributes:
        stride: S.
        readout: how the head depends on the roll.
        levels: levels of the tree of phases: per stage the offsets o in positions of its dense map. If not all phases
            occur: one level with the phases that do.
        phases: p in pixels, in the order of the tree.
        rolls: q in positions of the feature map, all of them row by row; only (0, 0) for a global head.
        index: index of each shift into phases × rolls.
        weights: number of shifts per phase and roll.
    """

    stride: int
    readout: ReadoutKind
    levels: tuple[Int[np.ndarray, "_ 2"], ...]
    phases: Int[np.ndarray, "p 2"]
    rolls: Int[np.ndarray, "q 2"]
    index: Int[np.ndarray, " s"]
    weights: Float[np.ndarray, "p q"]


def find_sharing(model: PureModel, split: Split, protocol: ShiftProtocol, shift_set: ShiftSet) -> Sharing | Unavailable:
    """Return how a sweep can share forward passes.

    For a model family this follows from its structure. For any other model with features and head, the function tests
    on a few images and rolls whether the features commute with rolls and whether the head depends on the roll.
    """
    if not protocol.wraps:
        return Unavailable(f"the protocol '{protocol.name}' does not wrap around")
    if shift_set.denominator != 1:
        return Unavailable("the shifts are fractions of a pixel")
    if shift_set.shifts.ndim == 3:
        return Unavailable("the shifts differ between images")
    split_model = model.split_model
    if split_model is None:
        return Unavailable("the model does not expose its features")
    stages = split_model.stages(model.state, split.size)
    if stages is not None:
        return _decompose([stage.stride for stage in stages], split_model.readout, split.size, shift_set)
    if split_model.readout != "any":
        return Unavailable(
            "the features are not equivariant, because of padding that does not wrap, weights that are not shared, or "
            "sizes that the stride does not divide"
        )
    return _measure(split_model, model.state, split, shift_set)


def _decompose(strides: Sequence[int], readout: ReadoutKind, size: tuple[int, int], shift_set: ShiftSet) -> Sharing:
    stride = math.prod(strides)
    shifts = shift_set.shifts % np.array(size, dtype=np.int32)
    phase, roll = shifts % stride, shifts // stride
    occurring = np.unique(phase, axis=0).astype(np.int32)
    levels = tuple(map(_grid, strides)) if len(occurring) == stride**2 else (occurring,)
    phases = np.zeros((1, 2), np.int32)
    for index, offsets in enumerate(levels):
        phases = (phases[:, None] + math.prod(strides[:index]) * offsets).reshape(-1, 2)
    number = np.zeros((stride, stride), np.int64)
    number[tuple(phases.T)] = np.arange(len(phases))
    rows, columns = size[0] // stride, size[1] // stride
    if readout == "global":
        rolls, roll_index = np.zeros((1, 2), np.int32), np.zeros(len(shifts), np.int64)
    else:
        rolls, roll_index = _grid(rows, columns), roll[:, 0] * columns + roll[:, 1]
    index = number[tuple(phase.T)] * len(rolls) + roll_index
    weights = np.bincount(index, minlength=len(phases) * len(rolls)).reshape(len(phases), len(rolls))
    return Sharing(stride, readout, levels, phases, rolls, index, weights.astype(np.float32))


def _grid(rows: int, columns: int | None = None) -> Int[np.ndarray, "_ 2"]:
    return np.array([(a, b) for a in range(rows) for b in range(columns or rows)], dtype=np.int32)


def _measure(split_model: SplitModel, state: object, split: Split, shift_set: ShiftSet) -> Sharing | Unavailable:
    images = to_unit_range(split.windows[:PROBES])
    with jax.default_matmul_precision(PRECISION):
        features = jax.jit(split_model.features)
        unshifted = features(state, images)
        stride = map_stride(unshifted.shape[1:], split.size)
        if isinstance(stride, Unavailable):
            return stride
        random = np.random.RandomState(0)
        rolls = [tuple(int(random.randint(size)) for size in unshifted.shape[1:3]) for _ in range(PROBES)] + [(1, 1)]
        for roll in rolls:
            pixels = (roll[0] * stride, roll[1] * stride)
            shifted = features(state, np.roll(images, pixels, axis=(1, 2)))
            if not _are_close(shifted, jnp.roll(unshifted, roll, axis=(1, 2))):
                return Unavailable(f"the features do not commute with a circular shift by {pixels} pixels")
        head = jax.jit(lambda state, z: split_model.head(state, z)[0])
        logits = head(state, unshifted)
        is_global = all(_are_close(head(state, jnp.roll(unshifted, roll, axis=(1, 2))), logits) for roll in rolls)
    return _decompose([stride], "global" if is_global else "any", split.size, shift_set)


def _are_close(a: Float[jax.Array, "*s"], b: Float[jax.Array, "*s"]) -> bool:
    return bool(jnp.abs(a - b).max() <= TOLERANCE * jnp.maximum(jnp.abs(b).max(), 1e-30))
