"""Augmentation of training images, by name: `none`, or `shiftK`."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from cnnshift.errors import InputError

Augment = Callable[[np.random.Generator, UInt8[np.ndarray, "n h w c"]], UInt8[np.ndarray, "n h w c"]]

ALLOWED = "none, shiftK (K pixels, as in shift4)"


def parse_augment(text: str, background: tuple[float, ...], size: tuple[int, int]) -> Augment:
    """The augmentation of a recipe.

    Args:
        text: `none`, or `shiftK`: each image moves by a (dy, dx) drawn uniformly from {−K … K}², independently at
            every epoch, and the background value enters (Simard, Steinkraus & Platt 2003, section 2).
        background: value of an empty pixel per channel, on the scale 0..1.
        size: (H, W) of the images.

    Raises:
        InputError: an unknown name, or a K that is not below the image's smaller side.
    """
    if text == "none":
        return lambda rng, images: images
    match = re.fullmatch(r"shift(\d+)", text)
    if not match:
        raise InputError(f"augment is '{text}'; allowed: {ALLOWED}.")
    reach = int(match[1])
    if not 1 <= reach < min(size):
        raise InputError(f"augment is '{text}'; allowed: shift1 to shift{min(size) - 1}.")
    empty = np.round(np.array(background) * 255).astype(np.uint8)

    def shift(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        count, height, width, channels = images.shape
        padded = np.empty((count, height + 2 * reach, width + 2 * reach, channels), np.uint8)
        padded[:] = empty
        padded[:, reach : reach + height, reach : reach + width] = images
        top, left = rng.integers(0, 2 * reach + 1, size=(2, count, 1))
        rows, columns = top + np.arange(height), left + np.arange(width)
        return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]

    return shift
