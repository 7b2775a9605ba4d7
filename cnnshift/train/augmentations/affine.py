"""Augmentation `affine`: images are turned, stretched and slanted (Simard, Steinkraus & Platt 2003, section 2)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from cnnshift.train.augmentations.base import Sources, Windows
from cnnshift.train.augmentations.warp import Warp

ROTATION = 15.0
"""Largest angle in degrees, both ways."""

SHEAR = 15.0
"""Largest slant of vertical lines in degrees, both ways."""

SCALE = 0.15
"""Largest change of the length of an axis, both ways."""


class Affine(Warp):
    """Every image by an affine map of its own about its centre; bilinear interpolation.

    A = R(θ) · [[1, 0], [−tan φ, 1]] · diag(1 + a, 1 + b) on (y, x), with R(θ) the rotation that takes the first axis
    towards the second, θ and φ uniform within ±15°, a and b uniform within ±0.15, all independent. Simard et al. give
    no ranges; these are of Cireşan et al. 2010 (section 3, for MNIST: 15° for rotation or shear, 15 to 20 % for the
    length of each axis). The map has no translation: that is `shiftK`'s, so that the two can be told apart, or
    combined (`shift4+affine`). SplitModel that leave the image are lost; the background enters.
    """

    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        """The windows, each under a map of its own."""
        images = self.window(sources)
        return self.warp(images, *affine_places(draw_maps(rng, len(images)), self.size))


def draw_maps(rng: np.random.Generator, count: int) -> Float[np.ndarray, "n 2 2"]:
    """Random maps of (y, x), see `Affine`."""
    rotation, shear = np.deg2rad([[ROTATION], [SHEAR]]) * rng.uniform(-1, 1, (2, count))
    scales = 1 + SCALE * rng.uniform(-1, 1, (count, 2))
    turn = np.moveaxis(np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]]), -1, 0)
    slant = np.broadcast_to(np.eye(2), (count, 2, 2)).copy()
    slant[:, 1, 0] = -np.tan(shear)
    return turn @ slant * scales[:, None, :]


def affine_places(
    maps: Float[np.ndarray, "n 2 2"], size: tuple[int, int]
) -> tuple[Float[np.ndarray, "n h w"], Float[np.ndarray, "n h w"]]:
    """Where an image is read so that its content moves by A about the centre c: A⁻¹(p − c) + c for every pixel p."""
    height, width = size
    (yy, yx), (xy, xx) = np.moveaxis(np.linalg.inv(maps), 0, -1)[..., None, None].astype(np.float32)
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = np.arange(width, dtype=np.float32) - (width - 1) / 2
    return yy * y + yx * x + (height - 1) / 2, xy * y + xx * x + (width - 1) / 2
