"""The option `background` of images that come without one: what enters where an image moves away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import pydantic
from jaxtyping import Shaped

from cnnshift.errors import InputError

MEAN_IMAGES = 1000
"""Images, a seeded subset of those to train on (else of those to test on), whose mean `mean` is."""

_NAMED = {"black": 0.0, "white": 1.0}
_ALLOWED = "allowed: black, white, mean, or one value from 0 to 1 for all channels or for each, separated by '/'"


def _check(text: str) -> str:
    if text not in (*_NAMED, "mean"):
        try:
            values = [float(value) for value in text.split("/")]
        except ValueError:
            values = [-1.0]
        if not all(0 <= value <= 1 for value in values):
            raise ValueError(_ALLOWED)
    return text


Background = Annotated[str, pydantic.AfterValidator(_check)]
"""`black`, `white`, `mean`, or values on the scale 0..1, as 0.5 or 0.5/0.4/0.4."""


def resolve_background(
    text: str, channels: int, some_images: Callable[[int], Shaped[np.ndarray, "n h w c"]]
) -> tuple[float, ...]:
    """The value of an empty pixel, one per channel, on the scale 0..1.

    Args:
        text: a `Background`.
        channels: of the images.
        some_images: gives so many images at most, for `mean`.

    Raises:
        InputError: values that are as many as neither one nor the channels.
    """
    if text == "mean":
        images = some_images(MEAN_IMAGES)
        mean = images.mean(axis=(0, 1, 2), dtype=np.float64) / (255 if images.dtype == np.uint8 else 1)
        return tuple(np.clip(mean, 0, 1).tolist())
    values = (_NAMED[text],) if text in _NAMED else tuple(map(float, text.split("/")))
    if len(values) not in (1, channels):
        raise InputError(f"background is '{text}', {len(values)} values; allowed: one, or {channels} (the channels).")
    return values * (channels if len(values) == 1 else 1)


def background_rgb(text: str) -> tuple[int, int, int]:
    """The colour behind what is transparent, in bytes: the background, or black where that follows from the images."""
    values = (0.0,) if text == "mean" else resolve_background(text, 1 if "/" not in text else 3, np.empty)
    red, green, blue = (round(255 * value) for value in (values * 3 if len(values) == 1 else values))
    return red, green, blue
