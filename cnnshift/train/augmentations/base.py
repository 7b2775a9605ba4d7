"""What an augmentation is: a random change of a batch of images on the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

Windows = Shaped[np.ndarray, "n h w c"]
"""What a model sees: bytes, or floats from 0 to 1; an augmentation gives back what it was given."""

Sources = Shaped[np.ndarray, "n Hs Ws c"]
"""The same with `context` pixels on each side."""


@dataclass(frozen=True, eq=False)
class Augmentation(ABC):
    """Changes every image of a batch at random, independently at every epoch.

    Attributes:
        size: (H, W) that the model sees.
        empty: value of an empty pixel, one per channel, on the scale and of the type of the images.
        context: real pixels around the window, on each side of the images that it will be given.
        amount: the K of a name that has one, and 0 otherwise.
    """

    size: tuple[int, int]
    empty: Shaped[np.ndarray, " c"]
    context: int = 0
    amount: int = 0

    @abstractmethod
    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        """Windows of that size, from source images with `context` pixels around theirs."""

    def window(self, sources: Sources) -> Windows:
        """What the model sees of the source images where nothing moves."""
        (height, width), margin = self.size, self.context
        return sources[:, margin : margin + height, margin : margin + width]


def pad_background(images: Windows, margin: int, empty: Shaped[np.ndarray, " c"], dtype: np.dtype) -> Sources:
    """The images as that type, with `margin` empty pixels on each side."""
    count, height, width, channels = images.shape
    padded = np.empty((count, height + 2 * margin, width + 2 * margin, channels), dtype)
    # Row by row: filling pixel by pixel is ten times slower.
    padded.reshape(count, height + 2 * margin, -1)[:] = np.tile(empty, width + 2 * margin)
    padded[:, margin : margin + height, margin : margin + width] = images
    return padded
