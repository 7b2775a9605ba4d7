"""The interface of augmentations: random changes of a batch of images on the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

Windows = Shaped[np.ndarray, "n h w c"]
"""Images of the model's size, bytes or floats from 0 to 1; an augmentation keeps the type."""

Sources = Shaped[np.ndarray, "n Hs Ws c"]
"""Images with `context` more pixels on each side."""


@dataclass(frozen=True, eq=False)
class Augmentation(ABC):
    """A random change of every image of a batch, independent at every epoch.

    Attributes:
        size: (H, W) of the model's input.
        background: background value per channel, with the scale and type of the images.
        context: real pixels on each side of the window in the source images.
        amount: K of a name such as `shiftK`, 0 otherwise.
    """

    size: tuple[int, int]
    background: Shaped[np.ndarray, " c"]
    context: int = 0
    amount: int = 0

    @abstractmethod
    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        """Return augmented windows of source images."""

    def window(self, sources: Sources) -> Windows:
        """Return the central windows of source images."""
        (height, width), margin = self.size, self.context
        return sources[:, margin : margin + height, margin : margin + width]


def pad_background(images: Windows, margin: int, background: Shaped[np.ndarray, " c"], dtype: np.dtype) -> Sources:
    """Pad images with `margin` background pixels on each side, as the given type."""
    count, height, width, channels = images.shape
    padded = np.empty((count, height + 2 * margin, width + 2 * margin, channels), dtype)
    # Filling by rows is ten times faster than by pixels.
    padded.reshape(count, height + 2 * margin, -1)[:] = np.tile(background, width + 2 * margin)
    padded[:, margin : margin + height, margin : margin + width] = images
    return padded
