"""The inputs of a sweep, and their division into batches of images and blocks of shifts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cnnshift.data.split import Split
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.shifts.sets import ShiftSet
from cnnshift.sweep.pure_model import PureModel

BLOCK_SHIFTS = 64
"""Default of `SweepInputs.block_shifts`: progress is reported, and an interruption takes effect, after each block."""


@dataclass(frozen=True, slots=True)
class SweepInputs:
    """A model, images and shifts, and their division into batches and blocks.

    Attributes:
        model: the model.
        split: n images.
        protocol: how images move.
        shift_set: s shifts, or s per image.
        block_shifts: largest number of shifts in a call of the block program.
    """

    model: PureModel
    split: Split
    protocol: ShiftProtocol
    shift_set: ShiftSet
    block_shifts: int = BLOCK_SHIFTS

    def batch(self, start: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return images and labels from index `start`, padded to `size` with copies of the first, and their mask."""
        images = self.split.images[start : start + size]
        labels = self.split.labels[start : start + size]
        missing = size - len(images)
        if missing:
            # Zeros could give values that are not finite.
            images = np.concatenate([images, np.repeat(images[:1], missing, axis=0)])
            labels = np.concatenate([labels, np.repeat(labels[:1], missing)])
        return images, labels, (np.arange(size) < size - missing).astype(np.float32)

    def block_size(self, width: int) -> int:
        """Return the number of shifts per block: at most `block_shifts`, balanced, a multiple of `width`."""
        blocks = math.ceil(self.shift_set.count / self.block_shifts)
        return width * math.ceil(self.shift_set.count / blocks / width)

    def block(self, first: int, size: int, start: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return `size` shifts from column `first`, padded with zeros, and their mask [s].

        Shifts are [s 2], or [s b 2] for per-image sets: int32 for whole pixels, float32 for fractions.
        """
        whole = self.shift_set.denominator == 1
        shifts = self.shift_set.shifts.astype(np.int32 if whole else np.float32)
        if shifts.ndim == 3:
            shifts = shifts[start : start + batch].transpose(1, 0, 2)
            shifts = np.pad(shifts, ((0, 0), (0, batch - shifts.shape[1]), (0, 0)))
        shifts = shifts[first : first + size]
        mask = (np.arange(size) < len(shifts)).astype(np.float32)
        return np.pad(shifts, ((0, size - len(shifts)), *((0, 0),) * (shifts.ndim - 1))), mask
