"""Feature maps with periodic boundary on the host: shift, align, differentiate."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

Maps = Float[np.ndarray, "n h w c"]


def to_numpy(values: Any) -> np.ndarray:
    """Return values as float32, or float64 if they already are."""
    array = np.asarray(values)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def shift_maps(maps: Maps, d: tuple[float, float]) -> Maps:
    """Return T_d of maps: a roll for whole positions, else a Fourier shift as `cnnshift.shifts.fourier` does."""
    whole = np.round(d)
    # A stride of 3 divides a shift into thirds, up to rounding.
    if np.abs(np.asarray(d) - whole).max() < 1e-6:
        return np.roll(maps, whole.astype(int), axis=(1, 2))
    for axis, part in zip((1, 2), d, strict=True):
        frequencies = np.fft.rfftfreq(maps.shape[axis])
        factors = np.exp(-2j * np.pi * frequencies * part)
        maps = _multiply(maps, axis, np.where(frequencies == 0.5, np.cos(np.pi * part), factors))
    return maps


def align(maps: Maps, to: Maps) -> Maps:
    """Roll every map to the position of largest cross-correlation with `to`, which minimizes their distance."""
    spectra = np.fft.rfft2(to, axes=(1, 2)) * np.conj(np.fft.rfft2(maps, axes=(1, 2)))
    size = maps.shape[1], maps.shape[2]
    correlation = np.fft.irfft2(spectra.sum(axis=-1), s=size, axes=(1, 2))
    best = correlation.reshape(len(maps), -1).argmax(axis=1)
    return np.stack([np.roll(one, divmod(int(q), size[1]), axis=(0, 1)) for one, q in zip(maps, best, strict=True)])


def derivative(maps: Maps, direction: tuple[float, float]) -> Maps:
    """Return d/dt T_{t·direction} of maps at t = 0, by Fourier transform: minus the derivative along `direction`."""
    total = np.zeros(maps.shape)
    for axis, part in zip((1, 2), direction, strict=True):
        if part:
            frequencies = np.fft.rfftfreq(maps.shape[axis])
            # The Nyquist frequency of an even size shifts by cos(πt), whose derivative at 0 is 0.
            factors = np.where(frequencies == 0.5, 0, -2j * np.pi * frequencies)
            total += part * _multiply(maps, axis, factors)
    return total


def _multiply(maps: Maps, axis: int, factors: np.ndarray) -> Maps:
    shape = tuple(len(factors) if at == axis else 1 for at in range(4))
    return np.fft.irfft(np.fft.rfft(maps, axis=axis) * factors.reshape(shape), n=maps.shape[axis], axis=axis)
