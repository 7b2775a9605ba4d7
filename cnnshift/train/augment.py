"""Augmentation of training images by name: one of the registry, or several joined by `+` (`shift4+elastic`)."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped

from cnnshift.catalog import AUGMENTATIONS
from cnnshift.data.split import Split, background_pixel
from cnnshift.errors import InputError
from cnnshift.train.augmentations.base import Augmentation

Augment = Callable[[np.random.Generator, Shaped[np.ndarray, "n Hs Ws c"]], Shaped[np.ndarray, "n h w c"]]
"""Source images of a split → training images."""


def parse_augment(text: str, split: Split) -> Augment:
    """Parse names joined by `+`, applied in that order, with whole numbers for K; `none` stands alone.

    Only the first augmentation reads the context of the training images.

    Raises:
        InputError: an unknown name, or a K that the size of the images does not allow.
    """
    background, steps = background_pixel(split), list[Augmentation]()
    names = text.split("+")
    for name in names:
        registered, amount = _split_amount(name)
        if not registered or (name == "none" and len(names) > 1):
            raise InputError(f"augment is '{text}'; allowed: {allowed_values()}.")
        context = 0 if steps else split.context
        steps.append(AUGMENTATIONS.load(registered)(split.size, background, context, amount))

    def augment(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        for step in steps:
            images = step(rng, images)
        return images

    return augment


def _split_amount(name: str) -> tuple[str, int]:
    """Return the registered name and K of a name in a recipe, such as `shiftK` and 4; an empty name if unknown.

    A registered name takes precedence over a number at its end. Otherwise the longest such number counts for which
    `NAMEK` is registered: NAME may contain digits.
    """
    if name in AUGMENTATIONS and not name.endswith("K"):
        return name, 0
    digits = re.search(r"[0-9]*\Z", name)
    for end in range(digits.start() if digits else len(name), len(name)):
        if f"{name[:end]}K" in AUGMENTATIONS:
            return f"{name[:end]}K", int(name[end:])
    return "", 0


def allowed_values() -> str:
    """Return the allowed values of `augment`, for messages."""
    others = ", ".join(name for name in AUGMENTATIONS if name != "none")
    return f"none, or one or more of {others} joined by '+' (K pixels, as in shift4+elastic)"
