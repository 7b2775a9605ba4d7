"""Augmentation `cropK`: a window at a random place, up to K pixels from the centre."""

import numpy as np

from cnnshift.train.augmentations.base import Sources, Windows, pad_background
from cnnshift.train.augmentations.translation import Translation


class RandomCrop(Translation):
    """T_d x with the border of the protocol `crop`: real pixels enter where the source image is larger than the window.

    That is how Zhang 2019 (section 4.2) moves images. Beyond the source's border there is the background value; so with
    no pixels around the window this is the random crop of an image padded by K, customary with K = 4 on 32×32 images
    (He et al. 2016, section 4.2), and the same as `shiftK`, draw by draw.

    In a combination only the first augmentation is given the source image; a crop that comes later crops a padded one.
    """

    name = "crop"

    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        """A window of each source image."""
        margin = self.context - self.amount
        if margin < 0:
            return self.cut(rng, pad_background(sources, -margin, self.empty, sources.dtype))
        return self.cut(rng, sources[:, margin : sources.shape[1] - margin, margin : sources.shape[2] - margin])
