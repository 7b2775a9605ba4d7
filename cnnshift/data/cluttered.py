"""Data set `cluttered`: one digit at a random position on a larger canvas, among fragments of other digits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt8

from cnnshift.data.base import Dataset, DatasetOptions
from cnnshift.data.mnist5k import DIGIT, MARGIN, Mnist5k
from cnnshift.data.split import Split

SIDE = 48
FRAGMENTS = 6
FRAGMENT = 8  # side in pixels
SEED = 2014


class Cluttered(Dataset[DatasetOptions]):
    """The digits of `mnist5k` on black 48×48 canvases with six 8×8 fragments of other digits.

    - Images: the digits of `mnist5k` in their order. The digit keeps its 28×28 pixels and lies at one of 21×21
      positions inside the canvas, with equal probability. A fragment is a random part of the 28×28 pixels of another
      image of the same split, at a random position, so it may be empty or overlap the digit. Overlapping pixels take
      the maximum, so that the digit is never darkened.
    - Classes: 10, balanced. Splits: train 4,000, test 1,000. Size: 48×48, 1 channel.
    - Fingerprints: train 963baff286bd…, test efb64c8c46bc….

    Source: the cluttered translated MNIST of Mnih et al. 2014 (60×60 and 100×100 pixels), used by Jaderberg et al.
    2015 to test spatial transformers.
    """

    name = "cluttered"
    version = "1.0.0"
    licence = Mnist5k.licence
    citation = Mnist5k.citation

    def _load(self, split: str, limit: int | None) -> Split:
        padded = Mnist5k().load(split)
        digits = padded.images[:, MARGIN : MARGIN + DIGIT, MARGIN : MARGIN + DIGIT, 0]
        images = _draw(digits, np.random.RandomState([SEED, self.splits.index(split)]))
        return Split(images[..., None], padded.labels, padded.classes, padded.background)


def _draw(digits: UInt8[np.ndarray, "n d d"], rng: np.random.RandomState) -> UInt8[np.ndarray, "n 48 48"]:
    count = len(digits)
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    images[_square_indices(rng.randint(0, SIDE - DIGIT + 1, (count, 2)), DIGIT)] = digits
    for _ in range(FRAGMENTS):
        # The offset is at least 1, so that no fragment comes from the image's own digit.
        others = (np.arange(count) + rng.randint(1, count, count)) % count
        _, rows, columns = _square_indices(rng.randint(0, DIGIT - FRAGMENT + 1, (count, 2)), FRAGMENT)
        target = _square_indices(rng.randint(0, SIDE - FRAGMENT + 1, (count, 2)), FRAGMENT)
        images[target] = np.maximum(images[target], digits[others[:, None, None], rows, columns])
    return images


def _square_indices(
    corners: Int[np.ndarray, "n 2"], side: int
) -> tuple[Int[np.ndarray, "n 1 1"], Int[np.ndarray, "n r 1"], Int[np.ndarray, "n 1 r"]]:
    """Return indices (image, row, column) of one square per image, from the upper left corners."""
    rows, columns = (corners[:, axis, None] + np.arange(side) for axis in (0, 1))
    return np.arange(len(corners))[:, None, None], rows[:, :, None], columns[:, None, :]
