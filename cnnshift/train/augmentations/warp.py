"""What `affine` and `elastic` share: images sampled at other places than their pixels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from cnnshift.train.augmentations.base import Augmentation, Windows, pad_background


class Warp(Augmentation):
    """An image read at places of its own for every pixel; outside of it is background."""

    def warp(self, images: Windows, rows: Float[np.ndarray, "n h w"], columns: Float[np.ndarray, "n h w"]) -> Windows:
        """The images at those places, rounded to the nearest whole number where they are bytes."""
        values = sample(images, rows, columns, self.empty)
        return (values + np.float32(0.5)).astype(np.uint8) if images.dtype == np.uint8 else values.astype(images.dtype)


def sample(
    images: Windows, rows: Float[np.ndarray, "n h w"], columns: Float[np.ndarray, "n h w"], empty: np.ndarray
) -> Float[np.ndarray, "n h w c"]:
    """Bilinear interpolation in 32 bits.

    At (y, x), with i = ⌊y⌋, f = y − i, j = ⌊x⌋, g = x − j:
    (1 − f)(1 − g) I[i, j] + (1 − f) g I[i, j+1] + f (1 − g) I[i+1, j] + f g I[i+1, j+1].

    At whole places it is exact. Pixels outside of the image are empty: between its border and one pixel further it
    fades into the background.

    Args:
        images: what to read.
        rows: y of every pixel of the result; 0 is the centre of the first row.
        columns: its x.
        empty: the background value, one per channel.
    """
    count, height, width, channels = images.shape
    bordered = pad_background(images, 1, empty, np.dtype(np.float32))
    rows, columns = np.clip(rows + 1, 0, height + 1), np.clip(columns + 1, 0, width + 1)
    # The last place of all is read as the far end of the last pair of pixels.
    top, left = np.minimum(rows.astype(np.int32), height), np.minimum(columns.astype(np.int32), width)
    down = (rows - top).astype(np.float32)[..., None]
    right = (columns - left).astype(np.float32)[..., None]
    flat = bordered.reshape(-1, channels)
    place = ((top + (height + 2) * np.arange(count)[:, None, None]) * (width + 2) + left).astype(np.intp)
    upper = _between(flat.take(place, 0), flat.take(place + 1, 0), right)
    place += width + 2
    lower = _between(flat.take(place, 0), flat.take(place + 1, 0), right)
    return _between(upper, lower, down)


def _between(start: np.ndarray, end: np.ndarray, part: np.ndarray) -> np.ndarray:
    # In place: half of the time is memory.
    end -= start
    end *= part
    start += end
    return start
