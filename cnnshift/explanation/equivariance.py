"""Formulas of the layer errors, in float64 on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped


def equivariance_error(
    moved: Shaped[Any, "*shape"], expected: Shaped[Any, "*shape"], mask: Float[np.ndarray, "h w"] | None = None
) -> Float[np.ndarray, " n"]:
    """Compute ‖φ(T_d x) − T_d φ(x)‖₂ / ‖T_d φ(x)‖₂ for every image: 0 for an equivariant layer.

    Two uncorrelated outputs of equal norm give √2. The value is 0 where both are zero and infinite where only
    `expected` is zero.

    Args:
        moved: φ(T_d x), one row per image.
        expected: T_d φ(x), the shifted output for the unshifted image.
        mask: 1 at the positions of a map [n h w c] to include, 0 elsewhere; None for all.

    Source: Karras et al. 2021, appendix E.3 (there as a signal-to-noise ratio, see `eq_t`); Lenc & Vedaldi 2015,
    section 2.
    """
    a, b = np.asarray(moved, np.float64), np.asarray(expected, np.float64)
    weight = 1.0 if mask is None else mask[None, :, :, None]
    axes = tuple(range(1, a.ndim))
    distance = np.sqrt((weight * (a - b) ** 2).sum(axis=axes))
    norm = np.sqrt((weight * b**2).sum(axis=axes))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance == 0, 0.0, distance / norm)


def eq_t(mean_squared_error: Float[Any, "*s"], amplitude: float) -> Float[np.ndarray, "*s"]:
    """Compute EQ-T = 10 · log₁₀(I² / MSE) in decibels: the ratio of the output range to the equivariance error.

    Infinite for an error of 0. An MSE of 0.01 on values from −1 to 1 (I = 2) gives 26.02 dB.

    Args:
        mean_squared_error: of φ(T_d x) against T_d φ(x), over positions, channels, images and shifts.
        amplitude: I, the largest minus the smallest output value.

    Source: Karras et al. 2021, equation 10 (appendix E.3).
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(amplitude**2 / np.asarray(mean_squared_error, np.float64))
