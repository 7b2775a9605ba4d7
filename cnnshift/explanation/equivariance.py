"""The formulas of the layer measures, for arrays of any layer, in 64 bits on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped


def equivariance_error(
    moved: Shaped[Any, "*shape"], expected: Shaped[Any, "*shape"], mask: Float[np.ndarray, "h w"] | None = None
) -> Float[np.ndarray, " n"]:
    """‖φ(T_d x) − T_d φ(x)‖₂ / ‖T_d φ(x)‖₂ of every image: a plain ratio, 0 for an equivariant layer.

    Two unrelated outputs of equal size are √2 apart. 0 where both are zero; infinite where only the expected one is.

    Args:
        moved: φ(T_d x), the images along the first axis.
        expected: T_d φ(x), the layer's output at rest, moved along.
        mask: 1 at the positions of a map [n h w c] that count, 0 elsewhere; None for all.

    Source: Karras et al. 2021, appendix E.3 (there as a signal-to-noise ratio, see `eq_t`); Lenc & Vedaldi 2015,
    section 2.
    """
    there, here = np.asarray(moved, np.float64), np.asarray(expected, np.float64)
    weight = 1.0 if mask is None else mask[None, :, :, None]
    axes = tuple(range(1, there.ndim))
    wrong = np.sqrt((weight * (there - here) ** 2).sum(axis=axes))
    size = np.sqrt((weight * here**2).sum(axis=axes))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(wrong == 0, 0.0, wrong / size)


def eq_t(mean_squared_error: Float[Any, "*s"], amplitude: float) -> Float[np.ndarray, "*s"]:
    """10 · log₁₀(I² / MSE) in decibels: how far the error of equivariance lies below the range of the values.

    Infinite for an exact layer. On images from −1 to 1, I = 2: an MSE of 0.01 is 26.02 dB.

    Args:
        mean_squared_error: of T_d φ(x) against φ(T_d x), over positions, channels, images and shifts.
        amplitude: I, the largest minus the smallest value that the layer gives.

    Source: Karras et al. 2021, equation 10 (appendix E.3).
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(amplitude**2 / np.asarray(mean_squared_error, np.float64))
