"""The formulas of the layer measures, for arrays of any layer."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def equivariance_error(
    moved: Float[Array, "*shape"], expected: Float[Array, "*shape"], mask: Float[Array, "h w"] | None = None
) -> Float[Array, " n"]:
    """‖φ(T_d x) − T_d φ(x)‖₂ / ‖T_d φ(x)‖₂ of every image: a plain ratio, 0 for an equivariant layer.

    Two unrelated outputs of equal size are √2 apart. 0 where both are zero; infinite where only the expected one is.

    Args:
        moved: φ(T_d x).
        expected: T_d φ(x), the layer's output at rest, moved along.
        mask: 1 at the positions of a map [n h w c] that count, 0 elsewhere; None for all.

    Source: Karras et al. 2021, appendix E.3 (there as a signal-to-noise ratio, see `eq_t`); Lenc & Vedaldi 2015,
    section 2.
    """
    weight = 1.0 if mask is None else mask[None, :, :, None]
    axes = tuple(range(1, moved.ndim))
    wrong = jnp.sqrt((weight * (moved - expected) ** 2).sum(axis=axes))
    size = jnp.sqrt((weight * expected**2).sum(axis=axes))
    return jnp.where(wrong == 0, 0.0, wrong / size)


def eq_t(mean_squared_error: Float[Array, "*s"], amplitude: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """10 · log₁₀(I² / MSE) in decibels: how far the error of equivariance lies below the range of the values.

    Infinite for an exact layer. On images from −1 to 1, I = 2: an MSE of 0.01 is 26.02 dB.

    Args:
        mean_squared_error: of T_d φ(x) against φ(T_d x), over positions, channels, images and shifts.
        amplitude: I, the largest minus the smallest value that the layer gives.

    Source: Karras et al. 2021, equation 10 (appendix E.3).
    """
    return 10 * jnp.log10(amplitude**2 / mean_squared_error)
