"""What is to be swept, and how it is cut into batches of images and blocks of shifts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cnnshift.data.split import Split
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.shifts.sets import ShiftSet
from cnnshift.sweep.pure_model import PureModel

BLOCK_SHIFTS = 64
"""Most shifts in one call of the block program: the grain of progress and of an interruption."""


@dataclass(frozen=True, slots=True)
class SweepInputs:
    """What is to be swept, and how it is cut into batches of images and blocks of shifts.

    Attributes:
        subject: the model.
        split: the images.
        protocol: how they move.
        shift_set: by what.
        block_shifts: most shifts of a block.
    """

    subject: PureModel
    split: Split
    protocol: ShiftProtocol
    shift_set: ShiftSet
    block_shifts: int = BLOCK_SHIFTS

    def batch(self, start: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images and labels from `start`, filled up to `size` with copies of the first; and the mask."""
        images = self.split.images[start : start + size]
        labels = self.split.labels[start : start + size]
        missing = size - len(images)
        if missing:
            # Copies and not zeros: a model may be undefined on an image that does not exist.
            images = np.concatenate([images, np.repeat(images[:1], missing, axis=0)])
            labels = np.concatenate([labels, np.repeat(labels[:1], missing)])
        return images, labels, (np.arange(size) < size - missing).astype(np.float32)

    def block_size(self, width: int) -> int:
        """Shifts per call: at most `block_shifts`, evened out over the calls, a multiple of the width."""
        calls = math.ceil(self.shift_set.count / self.block_shifts)
        return width * math.ceil(self.shift_set.count / calls / width)

    def block(self, first: int, size: int, start: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Shifts [s 2], or [s b 2] for per-image sets, from column `first`, filled up with zeros; and their mask.

        Whole pixels are 32-bit integers, fractions 32-bit floats.
        """
        whole = self.shift_set.denominator == 1
        shifts = self.shift_set.shifts.astype(np.int32 if whole else np.float32)
        if shifts.ndim == 3:
            shifts = shifts[start : start + batch].transpose(1, 0, 2)
            shifts = np.pad(shifts, ((0, 0), (0, batch - shifts.shape[1]), (0, 0)))
        shifts = shifts[first : first + size]
        mask = (np.arange(size) < len(shifts)).astype(np.float32)
        return np.pad(shifts, ((0, size - len(shifts)), *((0, 0),) * (shifts.ndim - 1))), mask
