"""Augmentation `shiftK`: random shifts, filled with the background (Simard, Steinkraus & Platt 2003, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Shaped
from numpy.lib.stride_tricks import sliding_window_view
from typing_extensions import override

from cnnshift.errors import InputError
from cnnshift.train.augmentations.base import Augmentation, Sources, Windows, pad_background


@dataclass(frozen=True, eq=False)
class RandomShift(Augmentation):
    """T_d x with the border of the protocol `zero`, even if the source images have real pixels around the window.

    One shift per image, uniform in {−K … K}²; K is less than the smaller side.

    Class attributes:
        name: name in a recipe, without K.
    """

    name: ClassVar[str] = "shift"

    def __post_init__(self) -> None:
        limit = min(self.size) - 1
        if not 1 <= self.amount <= limit:
            raise InputError(f"augment has {self.name}{self.amount}; allowed: {self.name}1 to {self.name}{limit}.")

    @override
    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        images = self.surroundings(sources)
        count = len(images)
        top, left = rng.integers(0, 2 * self.amount + 1, size=(2, count, 1))
        windows = sliding_window_view(images, self.size, axis=(1, 2))
        return np.ascontiguousarray(np.moveaxis(windows[np.arange(count), top[:, 0], left[:, 0]], 1, -1))

    def surroundings(self, sources: Sources) -> Shaped[np.ndarray, "n Hp Wp c"]:
        """Return the windows with K pixels on each side, which can enter the window."""
        return pad_background(self.window(sources), self.amount, self.background, sources.dtype)
