"""Augmentation `shiftK`: images move, and the background value enters (Simard, Steinkraus & Platt 2003, section 2)."""

import numpy as np

from cnnshift.train.augmentations.base import Sources, Windows, pad_background
from cnnshift.train.augmentations.translation import Translation


class RandomShift(Translation):
    """T_d x with the border of the protocol `zero`, also where there are real pixels around the window."""

    name = "shift"

    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        """The windows, each moved by a (dy, dx) of its own."""
        return self.cut(rng, pad_background(self.window(sources), self.amount, self.empty, sources.dtype))
