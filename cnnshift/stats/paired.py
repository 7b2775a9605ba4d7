"""Confidence interval and p-value of a mean of paired differences.

Two models are measured on the same images; d is what one image has under the candidate minus what
it has under the base, in [−w, w]. Most images do not differ. The limits are those of `signed`, times
w; where no image differs they are about ±3.7 w / n. Differences without bounds have the interval of
`mean_interval` without bounds.

The p-value of "the mean difference is 0" is 1 − the greatest level at which the interval does not
hold 0.

Simulated coverage: `python -m benchmarks statistics`, printed in benchmarks/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from cnnshift.stats.intervals import (
    AGREEMENT,
    Interval,
    Limits,
    central_moments,
    tail_probability,
    unbounded_limits,
)
from cnnshift.stats.inversion import find_decreasing_root
from cnnshift.stats.mover import mover_limits, split_gains_and_losses

# Differences may leave their bounds by the rounding error of means over shifts, relative to w.
_SLACK = 1e-9
# p-values below this are given as this; quantiles of the beta distribution are accurate down to it.
MIN_P_VALUE = 1e-30


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
    limits = confidence_curve(differences, bounds)
    return Interval(*limits(tail), limits.method)


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
    limits = confidence_curve(differences, bounds)
    return invert_curve(limits)


@dataclass(frozen=True, slots=True)
class ConfidenceCurve:
    """Limits of one mean difference as a function of the probability beyond each limit.

    Attributes:
        limits: from r probabilities to as many lower and upper limits, in units of `scale`.
        mean: the estimate, which all of them hold.
        scale: of the limits.
        method: how they are found, in words.
    """

    limits: Callable[[Float[np.ndarray, " r"]], Limits]
    mean: float
    scale: float
    method: str

    def __call__(self, tail: float) -> tuple[float, float]:
        """Both limits."""
        low, high = self.at(np.array([tail]))
        return float(low[0]), float(high[0])

    def at(self, tails: Float[np.ndarray, " r"]) -> Limits:
        """Both limits for each of r probabilities."""
        low, high = self.limits(tails)
        return np.minimum(self.scale * low, self.mean), np.maximum(self.scale * high, self.mean)


def confidence_curve(differences: Shaped[np.ndarray, " n"], bounds: tuple[float, float] | None) -> ConfidenceCurve:
    """What `paired_interval` evaluates at one level, for any; arguments and errors are the same."""
    d, half_range = _check(differences, bounds)
    mean, largest = float(d.mean()), float(np.abs(d).max())
    if half_range is not None and d.size > 1:
        parts = split_gains_and_losses(np.clip(d[None] / half_range, -1.0, 1.0))
        return ConfidenceCurve(lambda tails: mover_limits(parts, tails), mean, half_range, "MOVER of gains and losses")
    if half_range is None and np.ptp(d) > AGREEMENT * largest:
        moments = np.array(central_moments(d[None] / largest))
        hall = "skewness-corrected t (Hall)"

        def limits(tails: Float[np.ndarray, " r"]) -> Limits:
            first, second, third = np.repeat(moments, tails.size, axis=1)
            return unbounded_limits(first, second, third, d.size, tails)

        return ConfidenceCurve(limits, mean, largest, hall)
    reason = "one image" if d.size == 1 else "all images equal"
    end = math.inf if half_range is None else half_range
    return ConfidenceCurve(
        lambda tails: (np.full(tails.shape, -end), np.full(tails.shape, end)), mean, 1.0, f"the bounds ({reason})"
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


def invert_curve(limits: ConfidenceCurve) -> float:
    """p-value of "the mean is 0": 1 − the greatest level at which the limits do not hold 0."""
    from scipy import special

    mean = limits.mean

    def beyond(z: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
        """How far the limits on the side of 0 are from 0; positive where the intervals do not hold 0."""
        low, high = limits.at(special.ndtr(-z))
        return low if mean > 0 else -high

    if mean == 0:
        return 1.0
    # Limits are nearly linear in the quantile z of the normal distribution.
    z = find_decreasing_root(beyond, 0.0, -float(special.ndtri(MIN_P_VALUE / 2)))
    return max(2 * float(special.ndtr(-z)), MIN_P_VALUE)
