"""Confidence interval and p-value of a mean of paired differences.

Two models are measured on the same images; d is what one image has under the candidate minus what
it has under the base, in [−w, w]. Most images do not differ. The interval of `mean_interval` fails
there: the mean is away from both bounds, and the few images that differ are far from the others.

So d = w (p − q) is split into gains p = max(d, 0) / w and losses q = max(−d, 0) / w. The mean of
either is near the bound 0 of [0, 1], where `intervals` has the generalised Clopper-Pearson limits
[l, u], which allow for the rare image that was not drawn. With the means p̄ and q̄, MOVER (method of
variance estimates recovery) takes from each the distance between estimate and limit as 1.96 standard
errors *at that limit*, and adds the squares:

    low  = p̄ − q̄ − √((p̄ − l_p)² + (u_q − q̄)² − 2 r (p̄ − l_p) (u_q − q̄))
    high = p̄ − q̄ + √((u_p − p̄)² + (q̄ − l_q)² − 2 r (u_p − p̄) (q̄ − l_q))

An image cannot both gain and lose: p q = 0, so the covariance of p and q is −p̄ q̄ and
r = −p̄ q̄ / (s_p s_q). Where no image differs, the limits are ±w (1 − 0.025^(1/n)), about ±3.7 w / n.

The p-value of "the mean difference is 0" is 1 − the least level at which the interval holds 0.

Simulated coverage: `python -m benchmarks statistics`, printed in benchmarks/README.md.

Sources:
    Newcombe 1998, Statistics in Medicine 17:2635 (method 10: the correlation of paired proportions).
    Zou & Donner 2008, Statistics in Medicine 27:1693 (MOVER).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from cnnshift.stats.intervals import (
    AGREEMENT,
    Interval,
    Limits,
    Moments,
    limits_bounded,
    limits_unbounded,
    moments_of,
    tail_probability,
)

# Differences may leave their bounds by the rounding error of means over shifts, relative to w.
_SLACK = 1e-9
# p-values below this are given as this; quantiles of the beta distribution are accurate down to it.
LEAST_P = 1e-30
# Halvings of log p: to within 1e-13 of itself.
_HALVINGS = 50


@dataclass(frozen=True, slots=True)
class Signed:
    """What the interval depends on, for r samples of n differences scaled to [−1, 1].

    Attributes:
        gain: central moments of max(d, 0).
        loss: central moments of max(−d, 0).
        correlation: of the two, between −1 and 0; 0 where either does not vary.
        n: number of images.
    """

    gain: Moments
    loss: Moments
    correlation: Float[np.ndarray, " r"]
    n: int


def paired_interval(
    differences: Shaped[np.ndarray, " n"],
    *,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    level: float = 0.95,
) -> Interval:
    """Confidence interval of the mean difference over all images, from the differences of n of them.

    The module docstring has the formulas. The interval holds the mean of `differences`, lies within
    `bounds`, grows with `level`, changes sign with the differences, and is never a point.

    Edge cases: one image gives the bounds. Without bounds it is the interval of `mean_interval`
    without bounds, which is infinite where all differences are equal.

    Args:
        differences: candidate minus base, one per image; images that do not count are left out before.
        bounds: least and largest difference an image can have, −w and w: for metrics in [0, 1], −1
            and 1. None for a metric without a bound.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: no differences, one that is not finite or not within bounds, bounds that are not
            −w and w, or a level that is not between 0 and 1.

    Example:
        >>> lost = paired_interval(np.repeat([-1.0, 0.0], [8, 192]))
        >>> round(lost.low, 4), round(lost.high, 4)
        (-0.0773, -0.011)
    """
    tail = tail_probability(level)
    limits = limits_of(differences, bounds)
    low, high = limits(np.full(1, tail))
    return Interval(float(low[0]), float(high[0]), limits.method)


def p_value(differences: Shaped[np.ndarray, " n"], *, bounds: tuple[float, float] | None = (-1.0, 1.0)) -> float:
    """Two-sided p-value of "the mean difference over all images is 0", by inverting `paired_interval`.

    It is at most 1 − level exactly where the interval of that level does not hold 0, up to rounding.
    1 where the interval says nothing of the mean; values below 1e-30 are given as 1e-30.

    Args:
        differences: as in `paired_interval`.
        bounds: as in `paired_interval`.

    Raises:
        ValueError: as in `paired_interval`.

    Example:
        >>> round(p_value(np.repeat([-1.0, 0.0], [8, 192])), 4)
        0.0061
    """
    return float(invert_limits(limits_of(differences, bounds), 1)[0])


@dataclass(frozen=True, slots=True)
class LimitsAt:
    """Limits of one mean difference as a function of the probability beyond each limit.

    Attributes:
        limits: from r probabilities to r lower and r upper limits, in units of `scale`.
        mean: the estimate, which all of them hold.
        scale: of the limits.
        method: how they are found, in words.
    """

    limits: Callable[[Float[np.ndarray, " r"]], Limits]
    mean: float
    scale: float
    method: str

    def __call__(self, tail: Float[np.ndarray, " r"]) -> Limits:
        low, high = self.limits(tail)
        return np.minimum(self.scale * low, self.mean), np.maximum(self.scale * high, self.mean)


def limits_of(differences: Shaped[np.ndarray, " n"], bounds: tuple[float, float] | None) -> LimitsAt:
    """What `paired_interval` evaluates at one level, for any; arguments and errors are the same."""
    d, half_range = _check(differences, bounds)
    mean, largest = float(d.mean()), float(np.abs(d).max())
    if half_range is not None and d.size > 1:
        parts = split_signs(np.clip(d[None] / half_range, -1.0, 1.0))
        return LimitsAt(lambda tail: limits_signed(parts, tail), mean, half_range, "MOVER of gains and losses")
    if half_range is None and np.ptp(d) > AGREEMENT * largest:
        moments = moments_of(d[None] / largest)
        hall = "skewness-corrected t (Hall)"
        return LimitsAt(lambda tail: limits_unbounded(*moments, d.size, tail), mean, largest, hall)
    reason = "one image" if d.size == 1 else "all images equal"
    ends = math.inf if half_range is None else half_range
    return LimitsAt(
        lambda tail: (np.full_like(tail, -ends), np.full_like(tail, ends)), mean, 1.0, f"the bounds ({reason})"
    )


def _check(
    differences: Shaped[np.ndarray, " n"], bounds: tuple[float, float] | None
) -> tuple[Float[np.ndarray, " n"], float | None]:
    """Differences as numbers, and w; None without bounds."""
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not d.size:
        raise ValueError(f"differences have shape {d.shape}; one per image is needed, at least one")
    if not np.isfinite(d).all():
        raise ValueError(f"{(~np.isfinite(d)).sum()} of {d.size} differences are not finite; leave them out")
    if bounds is None:
        return d, None
    least, half_range = bounds
    if not (0 < half_range < math.inf and least == -half_range):
        raise ValueError(f"bounds are {bounds}; they must be -w and w with w positive and finite, or None")
    if np.abs(d).max() > half_range * (1 + _SLACK):
        raise ValueError(f"differences span {d.min()} to {d.max()}; they must lie within {bounds}")
    return d, half_range


def split_signs(differences: Float[np.ndarray, "r n"]) -> Signed:
    """Gains and losses of r samples of differences in [−1, 1]."""
    gain, loss = moments_of(np.maximum(differences, 0.0)), moments_of(np.maximum(-differences, 0.0))
    spread = np.sqrt(gain[1] * loss[1])
    correlation = -gain[0] * loss[0] / np.where(spread > 0, spread, 1.0)
    return Signed(gain, loss, np.where(spread > 0, np.maximum(correlation, -1.0), 0.0), differences.shape[1])


def limits_signed(parts: Signed, tail: float | Float[np.ndarray, " r"]) -> Limits:
    """Limits of r means, in units of w; `tail` is the probability beyond each limit, 0.5 at most."""
    gain_low, gain_high = limits_bounded(*parts.gain, parts.n, tail)
    loss_low, loss_high = limits_bounded(*parts.loss, parts.n, tail)
    gain, loss = parts.gain[0], parts.loss[0]

    def combine(a: Float[np.ndarray, " r"], b: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
        return np.sqrt(a**2 + b**2 - 2 * parts.correlation * a * b)

    low = gain - loss - combine(gain - gain_low, loss_high - loss)
    high = gain - loss + combine(gain_high - gain, loss - loss_low)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def invert_limits(limits: Callable[[Float[np.ndarray, " r"]], Limits], rows: int) -> Float[np.ndarray, " r"]:
    """p-values of r estimates: 1 − the least level at which their limits hold 0.

    Args:
        limits: from the probability beyond each limit, one for every row, to limits that move
            outwards as it falls.
        rows: r.
    """

    def outside(p: Float[np.ndarray, " r"]) -> Bool[np.ndarray, " r"]:
        low, high = limits(p / 2)
        return (low > 0) | (high < 0)

    # 0 is outside at `above` and inside at `below`, in logarithms of p.
    above, below = np.zeros(rows), np.full(rows, math.log(LEAST_P))
    never, always = ~outside(np.exp(above)), outside(np.exp(below))
    for _ in range(_HALVINGS):
        middle = (above + below) / 2
        out = outside(np.exp(middle))
        above, below = np.where(out, middle, above), np.where(out, below, middle)
    return np.where(never, 1.0, np.where(always, LEAST_P, np.exp(above)))
