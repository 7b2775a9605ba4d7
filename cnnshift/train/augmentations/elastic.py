"""Augmentation `elastic`: smooth random displacements (Simard, Steinkraus & Platt 2003, section 2)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from cnnshift.train.augmentations.base import Sources, Windows
from cnnshift.train.augmentations.warp import Warp

SIGMA = 4.0  # σ in pixels: the smoothness of the displacements
ALPHA = 34.0  # α in pixels: their amplitude
REACH = 4  # half-width of the truncated Gaussian, in σ


class Elastic(Warp):
    """Pixel p of an image is read at p + α (g_σ ∗ u)(p), by bilinear interpolation.

    Both components of u are independent and uniform from −1 to 1 at every pixel; g_σ is a Gaussian that sums to 1. The
    displacement along an axis has mean 0 and variance α²/3 · (Σ_i g_i²)², about α²/(12π σ²): a standard deviation of
    1.38 pixels for σ = 4 and α = 34, the paper's values for MNIST. These are in pixels of 28×28 digits, which have the
    same scale on 32×32. σ and α are not adapted to larger content (r times as large would need σ r and α r²).

    u extends beyond the border by the half-width of the Gaussian, so that displacements at the border have the same
    variance.
    """

    @override
    def __call__(self, rng: np.random.Generator, sources: Sources) -> Windows:
        images = self.window(sources)
        (height, width), field = self.size, displacements(rng, len(images), self.size)
        rows = np.arange(height, dtype=np.float32)[:, None]
        return self.warp(images, rows + field[:, 0], np.arange(width, dtype=np.float32) + field[:, 1])


def displacements(rng: np.random.Generator, count: int, size: tuple[int, int]) -> Float[np.ndarray, "n 2 h w"]:
    """Draw random displacement fields (dy, dx) in pixels, see `Elastic`."""
    kernel = gaussian(SIGMA)
    noise = rng.random((count, 2, *(side + len(kernel) - 1 for side in size)), dtype=np.float32)
    noise *= 2
    noise -= 1
    return np.float32(ALPHA) * smooth(noise, kernel)


def gaussian(sigma: float) -> Float[np.ndarray, " k"]:
    """Return exp(−i²/2σ²) for |i| ≤ 4σ, divided by its sum."""
    reach = math.floor(REACH * sigma + 0.5)
    values = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return values / values.sum()


def smooth(maps: Float[np.ndarray, "*n H W"], kernel: Float[np.ndarray, " k"]) -> Float[np.ndarray, "*n h w"]:
    """Convolve maps with the outer product of a symmetric kernel, without padding: [H W] → [H − k + 1, W − k + 1]."""
    down, right = (_band(side, kernel) for side in maps.shape[-2:])
    # One small product per map takes half the time of one large product.
    return down @ maps @ right.T


def _band(side: int, kernel: np.ndarray) -> Float[np.ndarray, "m side"]:
    """Return the matrix of a convolution along an axis."""
    rows = side - len(kernel) + 1
    band = np.zeros((rows, side), np.float32)
    for row in range(rows):
        band[row, row : row + len(kernel)] = kernel
    return band
