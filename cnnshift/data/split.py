"""Labelled images of one split of a data set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from cnnshift.data.limits import check_memory
from cnnshift.errors import InputError


@dataclass(frozen=True, slots=True)
class Split:
    """Labelled images of one split.

    Attributes:
        images: source images, `context` pixels larger than the window on each side; uint8, or floats from 0 to 1.
        labels: class index of every image.
        classes: class names.
        background: value of an empty pixel, one per channel, from 0 to 1. If the images are uint8, it is rounded to a
            multiple of 1/255.
        context: pixels around the window on each side. The window is the part of an image that a model receives.

    Raises:
        InputError: an attribute has a wrong shape, type or range.
    """

    images: UInt8[np.ndarray, "n Hs Ws c"] | Float[np.ndarray, "n Hs Ws c"]
    labels: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    background: tuple[float, ...]
    context: int = 0

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or not images.size:
            raise InputError(
                f"images have the shape {images.shape}; allowed: (n, height, width, channels), none of them 0."
            )
        floats = np.issubdtype(images.dtype, np.floating)
        if floats and not np.isfinite(images).all():
            raise InputError("images contain values that are not finite; allowed: uint8, or floats from 0 to 1.")
        if images.dtype != np.uint8 and not (floats and _in_unit_range(images)):
            raise InputError(f"images are {images.dtype} outside 0..1; allowed: uint8, or floats from 0 to 1.")
        if labels.shape != (len(images),) or labels.min() < 0 or labels.max() >= len(self.classes):
            raise InputError(
                f"labels have the shape {labels.shape} and range from {labels.min()} to {labels.max()}; "
                f"allowed: one per image ({len(images)}), from 0 to {len(self.classes) - 1}."
            )
        if len(self.background) != images.shape[-1] or not _in_unit_range(np.array(self.background)):
            raise InputError(f"background is {self.background}; allowed: {images.shape[-1]} values from 0 to 1.")
        side = min(images.shape[1:3])
        if not 0 <= 2 * self.context < side:
            raise InputError(f"context is {self.context}; allowed: less than half of {side}, the shorter side.")
        if images.dtype == np.uint8:
            object.__setattr__(self, "background", tuple(round(255 * value) / 255 for value in self.background))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the window."""
        height, width = self.images.shape[1:3]
        return height - 2 * self.context, width - 2 * self.context

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return self.images.shape[-1]

    @property
    def windows(self) -> UInt8[np.ndarray, "n h w c"] | Float[np.ndarray, "n h w c"]:
        """The images that a model receives without a shift: the source images without their context."""
        (height, width), margin = self.size, self.context
        return self.images[:, margin : margin + height, margin : margin + width]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that a measurement depends on: pixels, labels, classes, background and context."""
        digest = hashlib.sha256()
        digest.update(repr((self.images.shape, self.classes, self.background, self.context)).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i4").data)
        return digest.hexdigest()

    def take(self, limit: int, *, seed: int = 0) -> Split:
        """Return a seeded random subset of `limit` images in their original order, or all if there are fewer.

        Raises:
            InputError: the limit is below 1.
        """
        indices = subset_indices(len(self), limit, seed=seed)
        if len(indices) == len(self):
            return self
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def with_window(self, size: tuple[int, int]) -> Split:
        """Return the same source images with a centred window of another size (H, W); the rest becomes context.

        Raises:
            InputError: the window is larger than the source images, or they do not exceed it by the same even number
                of pixels on both axes.
        """
        (height, width), (rows, columns) = size, self.images.shape[1:3]
        if min(size) < 1 or height > rows or width > columns:
            raise InputError(f"The window is {height}×{width}; allowed: 1×1 to {rows}×{columns}, the image size.")
        if rows - height != columns - width or (rows - height) % 2:
            raise InputError(
                f"The window is {height}×{width}, which leaves {rows - height} rows and {columns - width} columns of "
                f"the images ({rows}×{columns}); allowed: the same even number of both."
            )
        return replace(self, context=(rows - height) // 2)

    def on_canvas(self, canvas: int) -> Split:
        """Centre every window on a square background canvas, with as much background context as its margin is wide.

        A shift within the margin loses nothing under any protocol: circular, zero and crop then agree bit for bit.
        `canvas` is the side of the new window in pixels.

        Raises:
            InputError: the canvas is smaller than the window, cannot centre it, or needs too much memory.
        """
        height, width = self.size
        if canvas < max(height, width):
            raise InputError(f"canvas is {canvas}; allowed: at least {max(height, width)}, the size of the images.")
        if (canvas - height) % 2 or (canvas - width) % 2:
            raise InputError(
                f"canvas is {canvas}, which cannot centre images of {height}×{width}; "
                f"allowed: sizes that differ from theirs by an even number of pixels."
            )
        top, left = (canvas - height) // 2, (canvas - width) // 2
        context = min(top, left)
        side = canvas + 2 * context
        shape = (len(self), side, side, self.channels)
        check_memory(f"canvas={canvas}", shape, self.images.itemsize)
        images = np.broadcast_to(background_pixel(self), shape).copy()
        images[:, context + top : context + top + height, context + left : context + left + width] = self.windows
        return replace(self, images=images, context=context)


def subset_indices(count: int, limit: int, *, seed: int = 0) -> Int[np.ndarray, " m"]:
    """Return the ascending indices of a seeded random subset of `limit` of `count` images, or of all if fewer.

    Raises:
        InputError: the limit is below 1.
    """
    if limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1.")
    if limit >= count:
        return np.arange(count)
    return np.sort(np.random.RandomState(seed).permutation(count)[:limit])


def to_unit_range(images: Any) -> Any:
    """Convert pixels to float32 from 0 to 1: uint8 is divided by 255. Accepts NumPy and JAX arrays."""
    return images / np.float32(255) if images.dtype == np.uint8 else images.astype(np.float32)


def background_pixel(split: Split) -> np.ndarray:
    """Return the background value, one per channel, in the data type of the images."""
    pixel, dtype = np.array(split.background), split.images.dtype
    return np.round(255 * pixel).astype(dtype) if dtype == np.uint8 else pixel.astype(dtype)


def _in_unit_range(values: np.ndarray) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)
