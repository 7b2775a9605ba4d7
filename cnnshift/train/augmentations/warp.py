"""Bilinear resampling at arbitrary positions, the base of `affine` and `elastic`."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from cnnshift.train.augmentations.base import Augmentation, Windows, pad_background


class Warp(Augmentation):
    """An augmentation that resamples images; the background lies outside of them."""

    def warp(self, images: Windows, rows: Float[np.ndarray, "n h w"], columns: Float[np.ndarray, "n h w"]) -> Windows:
        """Resample images at those positions; bytes are rounded to the nearest integer."""
        values = bilinear(images, rows, columns, self.background)
        return (values + np.float32(0.5)).astype(np.uint8) if images.dtype == np.uint8 else values.astype(images.dtype)


def bilinear(
    images: Windows, rows: Float[np.ndarray, "n h w"], columns: Float[np.ndarray, "n h w"], background: np.ndarray
) -> Float[np.ndarray, "n h w c"]:
    """Interpolate images bilinearly, in 32 bits.

    At (y, x), with i = ⌊y⌋, f = y − i, j = ⌊x⌋, g = x − j:
    (1 − f)(1 − g) I[i, j] + (1 − f) g I[i, j+1] + f (1 − g) I[i+1, j] + f g I[i+1, j+1].

    Exact at whole positions; 0 is the centre of the first row or column. Pixels outside the image have the background
    value: within one pixel of the border, the image fades into the background.
    """
    count, height, width, channels = images.shape
    bordered = pad_background(images, 1, background, np.dtype(np.float32))
    rows, columns = np.clip(rows + 1, 0, height + 1), np.clip(columns + 1, 0, width + 1)
    # Read the last position as the end of the last pair of pixels.
    top, left = np.minimum(rows.astype(np.int32), height), np.minimum(columns.astype(np.int32), width)
    down = (rows - top).astype(np.float32)[..., None]
    right = (columns - left).astype(np.float32)[..., None]
    flat = bordered.reshape(-1, channels)
    index = ((top + (height + 2) * np.arange(count)[:, None, None]) * (width + 2) + left).astype(np.intp)
    upper = _interpolate(flat.take(index, 0), flat.take(index + 1, 0), right)
    index += width + 2
    lower = _interpolate(flat.take(index, 0), flat.take(index + 1, 0), right)
    return _interpolate(upper, lower, down)


def _interpolate(start: np.ndarray, end: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    # In place: memory allocation takes half of the time.
    end -= start
    end *= fraction
    start += end
    return start
