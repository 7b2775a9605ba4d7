"""Augmentation `none`: the images as they are."""

import numpy as np

from cnnshift.train.augmentations.base import Augmentation, Sources, Windows


class NoAugmentation(Augmentation):
    """Draws nothing."""

    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        """The windows."""
        return self.window(sources)
