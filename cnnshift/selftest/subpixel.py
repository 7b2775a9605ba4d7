"""Known answers at sub-pixel shifts: activations at twice the resolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnshift.explanation.equivariance import equivariance_error
from cnnshift.shifts.fourier import fourier_shift

SIZE = 15
"""Odd, so that there is no Nyquist frequency."""


def activation_error(activate: Callable[[Array], Array], fraction: float) -> float:
    """Measure the equivariance error of: up-sample twofold, activate, ideal low-pass filter, down-sample.

    Squaring doubles the highest frequency, which the finer grid still represents: the error is 0 at any fraction. ReLU
    creates unbounded frequencies, but ½ px is a whole position of the finer grid, so that its aliasing is hidden.

    Args:
        activate: pointwise activation.
        fraction: the images shift by (fraction, −fraction) pixels.

    Source: Karras et al. 2021, section 3.2; Michaeli et al. 2023, section 3.
    """
    images = np.random.RandomState(0).rand(4, SIZE, SIZE, 2).astype(np.float32) - 0.5

    def layer(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        return _resample(activate(_resample(x, 2 * SIZE)), SIZE)

    @jax.jit
    def both(x: Float[Any, "n h w c"], d: Float[Any, 2]) -> tuple[Array, Array]:
        return layer(fourier_shift(x, d)), fourier_shift(layer(x), d)

    return float(equivariance_error(*both(images, np.array([fraction, -fraction], np.float32))).max())


def _resample(x: Float[Array, "n h w c"], size: int) -> Float[Array, "n H W c"]:
    """Resample periodic maps to a finer or coarser grid; frequencies that do not fit are dropped."""
    before = x.shape[1]
    spectrum = jnp.fft.fftshift(jnp.fft.fft2(x, axes=(1, 2)), axes=(1, 2))
    # fftshift places frequency 0 at index size // 2.
    margin = size // 2 - before // 2
    if margin >= 0:
        after = size - before - margin
        spectrum = jnp.pad(spectrum, ((0, 0), (margin, after), (margin, after), (0, 0)))
    else:
        spectrum = spectrum[:, -margin : size - margin, -margin : size - margin]
    resampled = jnp.fft.ifft2(jnp.fft.ifftshift(spectrum, axes=(1, 2)), axes=(1, 2)).real
    return resampled * (size / before) ** 2
