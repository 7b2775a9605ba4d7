"""What `shiftK` and `cropK` share: windows at random places of a larger image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cnnshift.errors import InputError
from cnnshift.train.augmentations.base import Augmentation, Sources, Windows


@dataclass(frozen=True, eq=False)
class Translation(Augmentation):
    """Each image moves by a (dy, dx) drawn uniformly from {−K … K}²; K is less than the smaller side.

    Class attributes:
        name: as in a recipe, without the K.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        limit = min(self.size) - 1
        if not 1 <= self.amount <= limit:
            raise InputError(f"augment has {self.name}{self.amount}; allowed: {self.name}1 to {self.name}{limit}.")

    def cut(self, rng: np.random.Generator, images: Sources) -> Windows:
        """A window of each image, which has K pixels around it, at a place of its own."""
        count = len(images)
        top, left = rng.integers(0, 2 * self.amount + 1, size=(2, count, 1))
        places = sliding_window_view(images, self.size, axis=(1, 2))
        return np.ascontiguousarray(np.moveaxis(places[np.arange(count), top[:, 0], left[:, 0]], 1, -1))
