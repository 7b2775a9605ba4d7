"""Augmentation `none`: unchanged images."""

import numpy as np
from typing_extensions import override

from cnnshift.train.augmentations.base import Augmentation, Sources, Windows


class NoAugmentation(Augmentation):
    """The identity, without random draws."""

    @override
    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        return self.window(sources)
