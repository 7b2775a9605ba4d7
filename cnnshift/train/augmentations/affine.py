"""Augmentation `affine`: random rotation, scaling and shear (Simard, Steinkraus & Platt 2003, section 2)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from cnnshift.train.augmentations.base import Sources, Windows
from cnnshift.train.augmentations.warp import Warp

# Largest changes in both directions.
ROTATION = 15.0  # degrees
SHEAR = 15.0  # of vertical lines, in degrees
SCALE = 0.15  # of the length of an axis, relative


class Affine(Warp):
    """A random affine map per image about its centre, with bilinear interpolation.

    A = R(θ) · [[1, 0], [−tan φ, 1]] · diag(1 + a, 1 + b) on (y, x), with R(θ) the rotation that takes the first axis
    towards the second, θ and φ uniform within ±15°, a and b uniform within ±0.15, all independent. Simard et al. give
    no ranges; these are from Cireşan et al. 2010 (section 3, for MNIST: 15° for rotation or shear, 15 to 20 % for the
    length of each axis). There is no translation, so that `shiftK` can be tested separately or combined
    (`shift4+affine`). Content that leaves the image is lost, and the background enters.
    """

    @override
    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        images = self.window(sources)
        return self.warp(images, *affine_positions(draw_maps(rng, len(images)), self.size))


def draw_maps(rng: np.random.Generator, count: int) -> Float[np.ndarray, "n 2 2"]:
    """Draw random maps A of (y, x), see `Affine`."""
    rotation, shear = np.deg2rad([[ROTATION], [SHEAR]]) * rng.uniform(-1, 1, (2, count))
    scales = 1 + SCALE * rng.uniform(-1, 1, (count, 2))
    cosine, sine = np.cos(rotation), np.sin(rotation)
    rotations = np.moveaxis(np.array([[cosine, -sine], [sine, cosine]]), -1, 0)
    shears = np.broadcast_to(np.eye(2), (count, 2, 2)).copy()
    shears[:, 1, 0] = -np.tan(shear)
    return rotations @ shears * scales[:, None, :]


def affine_positions(
    maps: Float[np.ndarray, "n 2 2"], size: tuple[int, int]
) -> tuple[Float[np.ndarray, "n h w"], Float[np.ndarray, "n h w"]]:
    """Return the positions A⁻¹(p − c) + c from which pixels p are read, so that A moves the content about centre c."""
    height, width = size
    (yy, yx), (xy, xx) = np.moveaxis(np.linalg.inv(maps), 0, -1)[..., None, None].astype(np.float32)
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = np.arange(width, dtype=np.float32) - (width - 1) / 2
    return yy * y + yx * x + (height - 1) / 2, xy * y + xx * x + (width - 1) / 2
