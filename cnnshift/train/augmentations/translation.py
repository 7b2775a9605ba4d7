"""Random windows of a larger image, the base of `shiftK` and `cropK`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cnnshift.errors import InputError
from cnnshift.train.augmentations.base import Augmentation, Sources, Windows


@dataclass(frozen=True, eq=False)
class RandomTranslation(Augmentation):
    """A shift (dy, dx) per image, uniform in {−K … K}²; K is less than the smaller side.

    Class attributes:
        name: name in a recipe, without K.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        limit = min(self.size) - 1
        if not 1 <= self.amount <= limit:
            raise InputError(f"augment has {self.name}{self.amount}; allowed: {self.name}1 to {self.name}{limit}.")

    def random_windows(self, rng: np.random.Generator, images: Sources) -> Windows:
        """Return a random window of each image; images have K pixels around the window."""
        count = len(images)
        top, left = rng.integers(0, 2 * self.amount + 1, size=(2, count, 1))
        windows = sliding_window_view(images, self.size, axis=(1, 2))
        return np.ascontiguousarray(np.moveaxis(windows[np.arange(count), top[:, 0], left[:, 0]], 1, -1))
