"""Augmentation `cropK`: random crops up to K pixels off the centre."""

import numpy as np
from typing_extensions import override

from cnnshift.train.augmentations.base import Sources, Windows, pad_background
from cnnshift.train.augmentations.translation import RandomTranslation


class RandomCrop(RandomTranslation):
    """T_d x with the border of the protocol `crop`: real pixels if the source image is larger than the window.

    As in Zhang 2019 (section 4.2). Beyond the source image lies the background: without context, this is the usual
    random crop of an image padded by K, with K = 4 for 32×32 images (He et al. 2016, section 4.2), and equal to
    `shiftK` with the same random numbers. In a combination, only the first augmentation receives the source image;
    later crops use a padded one.
    """

    name = "crop"

    @override
    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        margin = self.context - self.amount
        if margin < 0:
            return self.random_windows(rng, pad_background(sources, -margin, self.background, sources.dtype))
        cropped = sources[:, margin : sources.shape[1] - margin, margin : sources.shape[2] - margin]
        return self.random_windows(rng, cropped)
