"""Augmentation `shiftK`: random shifts, filled with the background (Simard, Steinkraus & Platt 2003, section 2)."""

import numpy as np
from typing_extensions import override

from cnnshift.train.augmentations.base import Sources, Windows, pad_background
from cnnshift.train.augmentations.translation import RandomTranslation


class RandomShift(RandomTranslation):
    """T_d x with the border of the protocol `zero`, even if the source images have real pixels around the window."""

    name = "shift"

    @override
    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        padded = pad_background(self.window(sources), self.amount, self.background, sources.dtype)
        return self.random_windows(rng, padded)
