"""Augmentation `cropK`: random crops up to K pixels off the centre."""

import numpy as np
from jaxtyping import Shaped
from typing_extensions import override

from cnnshift.train.augmentations.base import Sources, pad_background
from cnnshift.train.augmentations.shift import RandomShift


class RandomCrop(RandomShift):
    """T_d x with the border of the protocol `crop`: real pixels if the source image is larger than the window.

    As in Zhang 2019 (section 4.2). Beyond the source image lies the background: without context, this is the usual
    random crop of an image padded by K, with K = 4 for 32×32 images (He et al. 2016, section 4.2), and equal to
    `shiftK` with the same random numbers. In a combination, only the first augmentation receives the source image;
    later crops use a padded one.
    """

    name = "crop"

    @override
    def surroundings(self, sources: Sources) -> Shaped[np.ndarray, "n Hp Wp c"]:
        margin = self.context - self.amount
        if margin < 0:
            return pad_background(sources, -margin, self.background, sources.dtype)
        return sources[:, margin : sources.shape[1] - margin, margin : sources.shape[2] - margin]
