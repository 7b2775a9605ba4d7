"""Known answers at fractions of a pixel: which activations keep them, and what a half pixel hides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnshift.explanation.equivariance import eq_t, equivariance_error
from cnnshift.shifts.fourier import fourier_shift

SIZE = 15
"""Odd, so that no frequency lacks its mirror image."""


def activation_error(activate: Callable[[Array], Array], fraction: float) -> float:
    """Equivariance error of: up-sample twofold, activate, ideal low-pass, down-sample, at that part of a pixel.

    A square doubles the highest frequency, which the finer grid holds: exact at any fraction. A rectifier makes
    frequencies without end; at half a pixel the finer grid moves by a whole one, and nothing of it shows.

    Source: Karras et al. 2021, section 3.2; Michaeli et al. 2023, section 3.
    """
    images = np.random.RandomState(0).rand(4, SIZE, SIZE, 2).astype(np.float32) - 0.5

    def layer(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        return _resample(activate(_resample(x, 2 * SIZE)), SIZE)

    @jax.jit
    def both(x: Float[Any, "n h w c"], d: Float[Any, 2]) -> tuple[Array, Array]:
        return layer(fourier_shift(x, d)), fourier_shift(layer(x), d)

    return float(equivariance_error(*both(images, np.array([fraction, -fraction], np.float32))).max())


def decibel_error() -> float:
    """Deviation from 26.0206 dB, which is an error of 0.01 on values from −1 to 1, relative to it."""
    return abs(float(eq_t(np.array([0.01]), 2.0)[0]) / 26.0206 - 1)


def _resample(x: Float[Array, "n h w c"], size: int) -> Float[Array, "n H W c"]:
    """Band-limited maps on a finer or coarser grid of the same torus: what frequencies do not fit are dropped."""
    before = x.shape[1]
    spectrum = jnp.fft.fftshift(jnp.fft.fft2(x, axes=(1, 2)), axes=(1, 2))
    # Frequency 0 is at size // 2 of a shifted spectrum.
    margin = size // 2 - before // 2
    if margin >= 0:
        after = size - before - margin
        spectrum = jnp.pad(spectrum, ((0, 0), (margin, after), (margin, after), (0, 0)))
    else:
        spectrum = spectrum[:, -margin : size - margin, -margin : size - margin]
    resampled = jnp.fft.ifft2(jnp.fft.ifftshift(spectrum, axes=(1, 2)), axes=(1, 2)).real
    return resampled * (size / before) ** 2
