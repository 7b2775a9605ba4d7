"""Augmentation of training images, by name: `none`, one of the registry, or several (`shift4+elastic`)."""

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
"""From a split's images, with their context, to what the model is trained on."""


def parse_augment(text: str, split: Split) -> Augment:
    """The augmentation of a recipe.

    Args:
        text: names joined by `+`, applied in that order; the K of a name is a whole number. `none` stands alone.
        split: what it will be given images of. The first augmentation sees them with their context, the others do not.

    Raises:
        InputError: an unknown name, or a K that the images do not allow.
    """
    empty, steps = background_pixel(split), list[Augmentation]()
    names = text.split("+")
    for name in names:
        known, amount = _read(name)
        if not known or (name == "none" and len(names) > 1):
            raise InputError(f"augment is '{text}'; allowed: {allowed()}.")
        context = 0 if steps else split.context
        steps.append(AUGMENTATIONS.load(known)(split.size, empty, context, amount))

    def augment(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        for step in steps:
            images = step(rng, images)
        return images

    return augment


def _read(name: str) -> tuple[str, int]:
    """The registered name that a recipe means, and K; an empty name where there is none.

    A name that is registered as it stands is itself, whatever it ends in; else its number is the K of a `NAMEK`, which
    may hold digits of its own: the longest number that gives one counts.
    """
    if name in AUGMENTATIONS and not name.endswith("K"):
        return name, 0
    digits = re.search(r"[0-9]*\Z", name)
    for end in range(digits.start() if digits else len(name), len(name)):
        if f"{name[:end]}K" in AUGMENTATIONS:
            return f"{name[:end]}K", int(name[end:])
    return "", 0


def allowed() -> str:
    """What a recipe can ask for, for messages."""
    others = ", ".join(name for name in AUGMENTATIONS if name != "none")
    return f"none, or one or several of {others} joined by '+' (K pixels, as in shift4+elastic)"
