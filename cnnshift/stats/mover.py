"""MOVER: limits of a difference from the limits of its two terms (method of variance estimates recovery).

For a − b with the limits [l_a, u_a] and [l_b, u_b] and the correlation r of the estimates,

    low  = a − b − √((a − l_a)² + (u_b − b)² − 2 r (a − l_a) (u_b − b))
    high = a − b + √((u_a − a)² + (b − l_b)² − 2 r (u_a − a) (b − l_b))

The distance between an estimate and its limit stands for 1.96 standard errors *at that limit*.

**Paired differences in [−1, 1]** are split into gains p = max(d, 0) and losses q = max(−d, 0), whose means are each
near the bound 0 of [0, 1], where `intervals` has generalized Clopper-Pearson limits. (An interval of the mean of d
itself fails if most images do not differ: the mean is far from both bounds, and few images are far from the others.)
An image cannot both gain and lose, p q = 0, so the covariance of p and q is −p̄ q̄ and r = −p̄ q̄ / (s_p s_q). If no
image differs, the limits are ±(1 − (α / 2)^(1/n)), about ±3.7 / n at 95 %. For outcomes 0 and 1, p̄ and q̄ are the
discordant proportions of the 2×2 table; Newcombe's method 10 combines Wilson limits of the two marginal proportions
in the same way.

Coverage at 95 %, exact for outcomes 0 and 1: at least 94.8 % for n of 50 to 1,000 of which 0.5 to 20 % differ.
Simulated for fractions: at least 94 %. It exceeds 97 % if fewer than about 10 images differ, and if many differ by
little: the allowance for rare images that the sample does not contain, about 3.7 / n, is then most of the width.
Differences of 0.02 on average in all of 1,000 images, of either sign, have an interval 2.2 times as wide as a normal
interval.

References:
    Newcombe 1998, Statistics in Medicine 17:2635 (paired proportions, method 10).
    Zou & Donner 2008, Statistics in Medicine 27:1693 (MOVER).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cnnshift.array_types import Float
from cnnshift.stats.intervals import Interval, Limits, Moments, bounded_limits, central_moments

Estimate = tuple[float, float, float]
"""Value, lower limit and upper limit."""


@dataclass(frozen=True, slots=True)
class GainsAndLosses:
    """Moments of the gains and losses of r samples of n differences in [−1, 1].

    Attributes:
        gain: central moments of max(d, 0).
        loss: central moments of max(−d, 0).
        correlation: correlation of the two, from −1 to 0; 0 if either does not vary.
        n: number of images.
    """

    gain: Moments
    loss: Moments
    correlation: Float[np.ndarray, " r"]
    n: int

    @classmethod
    def from_moments(cls, gain: Moments, loss: Moments, n: int) -> GainsAndLosses:
        """Compute the correlation −p̄ q̄ / (s_p s_q)."""
        product = np.sqrt(gain[1] * loss[1])
        correlation = -gain[0] * loss[0] / np.where(product > 0, product, 1.0)
        return cls(gain, loss, np.where(product > 0, np.maximum(correlation, -1.0), 0.0), n)


def split_gains_and_losses(differences: Float[np.ndarray, "r n"]) -> GainsAndLosses:
    """Return the moments of the gains and losses of r samples of n differences in [−1, 1]."""
    gain, loss = central_moments(np.maximum(differences, 0.0)), central_moments(np.maximum(-differences, 0.0))
    return GainsAndLosses.from_moments(gain, loss, differences.shape[1])


def mover_limits(samples: GainsAndLosses, tail: float | Float[np.ndarray, " k"]) -> Limits:
    """Return the limits of means of paired differences between −1 and 1, one per sample and probability.

    Args:
        samples: r samples, or one.
        tail: probability beyond each limit, at most 0.5: one number, or one per sample, or k for one sample.
    """
    (gain, *_), (loss, *_) = samples.gain, samples.loss
    tails = np.broadcast_to(tail, np.broadcast_shapes(np.shape(tail), gain.shape))
    mean, variance, third = (
        np.concatenate([np.broadcast_to(moment, tails.shape) for moment in pair])
        for pair in zip(samples.gain, samples.loss, strict=True)
    )
    lows, highs = bounded_limits(mean, variance, third, samples.n, np.tile(tails, 2))
    (gain_low, loss_low), (gain_high, loss_high) = np.split(lows, 2), np.split(highs, 2)
    low = gain - loss - _half_width(gain - gain_low, loss_high - loss, samples.correlation)
    high = gain - loss + _half_width(gain_high - gain, loss - loss_low, samples.correlation)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def _half_width(
    a: Float[np.ndarray, " k"], b: Float[np.ndarray, " k"], correlation: Float[np.ndarray, " r"]
) -> Float[np.ndarray, " k"]:
    return np.sqrt(a**2 + b**2 - 2 * correlation * (a * b))


def mover_interval(a: Estimate, b: Estimate) -> Interval:
    """Return the interval of a − b for independent estimates, at the level of their intervals (r = 0).

    Models measured on the same images are usually positively correlated; the interval is then conservative. It is too
    narrow for negative correlations. An infinite limit gives an infinite limit.

    Args:
        a: value, lower limit and upper limit, such as those of a kappa.
        b: likewise, of the term that is subtracted.

    Raises:
        ValueError: a value is not finite or not between its limits.

    Example:
        >>> interval = mover_interval((0.8, 0.7, 0.9), (0.9, 0.85, 0.95))
        >>> round(interval.low, 4), round(interval.high, 4)
        (-0.2118, 0.0118)
    """
    for name, (value, low, high) in {"a": a, "b": b}.items():
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"{name} is {value} with limits {low} and {high}; it must be finite and between them")
    value = a[0] - b[0]
    low = value - math.hypot(a[0] - a[1], b[2] - b[0])
    high = value + math.hypot(a[2] - a[0], b[0] - b[1])
    return Interval(low, high, "MOVER of two independent estimates")
