"""The option `background`: the value of empty pixels for images that do not define one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import pydantic
from jaxtyping import Shaped

from cnnshift.errors import InputError

MEAN_IMAGES = 1000
"""Size of the seeded subset of the training images (of the test images if there are none) averaged by `mean`."""

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
"""`black`, `white`, `mean`, or values from 0 to 1, as 0.5 or 0.5/0.4/0.4."""


def resolve_background(
    text: str, channels: int, sample_images: Callable[[int], Shaped[np.ndarray, "n h w c"]]
) -> tuple[float, ...]:
    """Return the background value, one per channel, from 0 to 1.

    `sample_images` returns at most that number of images; it is called for `mean`.

    Raises:
        InputError: the number of values is neither 1 nor the number of channels.
    """
    if text == "mean":
        images = sample_images(MEAN_IMAGES)
        mean = images.mean(axis=(0, 1, 2), dtype=np.float64) / (255 if images.dtype == np.uint8 else 1)
        return tuple(np.clip(mean, 0, 1).tolist())
    values = (_NAMED[text],) if text in _NAMED else tuple(map(float, text.split("/")))
    if len(values) not in (1, channels):
        raise InputError(
            f"background has {len(values)} values ('{text}'); allowed: 1, or {channels} (one per channel)."
        )
    return values * channels if len(values) == 1 else values


def background_rgb(text: str) -> tuple[int, int, int]:
    """Return the RGB bytes on which transparent pixels are composited: the background, or black for `mean`."""
    values = (0.0,) * 3 if text == "mean" else resolve_background(text, 3, np.empty)
    red, green, blue = (round(255 * value) for value in values)
    return red, green, blue
