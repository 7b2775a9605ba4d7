"""Confidence interval and p-value of a mean of paired differences.

Two models are measured on the same images; d is the value of an image under the candidate minus that under the base, in
[−w, w]. The limits are those of `mover` for d / w, times w. Differences without bounds have the interval of
`mean_interval` without bounds.

The two-sided p-value of "the mean difference is 0" is 1 − the largest level at which the interval excludes 0.
`python -m benchmarks statistics` simulates coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cnnshift.array_types import Float, Shaped
from cnnshift.stats.intervals import (
    ROUNDING,
    Interval,
    Limits,
    central_moments,
    check_sample,
    tail_probability,
    unbounded_limits,
)
from cnnshift.stats.inversion import find_decreasing_root
from cnnshift.stats.mover import mover_limits, split_gains_and_losses

# Differences may exceed their bounds by this fraction of w, the rounding error of means over shifts.
_SLACK = 1e-9
# Smaller p-values are reported as this.
MIN_P_VALUE = 1e-30


def paired_interval(
    differences: Shaped[np.ndarray, " n"],
    *,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    level: float = 0.95,
) -> Interval:
    """Return the confidence interval of the mean difference over all images, from the differences of n of them.

    The interval contains the mean of `differences`, lies within `bounds`, grows with `level`, changes sign with the
    differences, and has a positive width. One image has the bounds as its interval. Without bounds, equal differences
    have an infinite interval.

    Args:
        differences: candidate minus base, one per image, without images that do not count.
        bounds: smallest and largest possible difference of an image, −w and w: −1 and 1 for metrics in [0, 1]. None
            means unbounded.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: `differences` is empty, not one-dimensional, not finite or not within `bounds`; `bounds` are not −w
            and w; or `level` is not between 0 and 1.

    Example:
        >>> interval = paired_interval(np.repeat([-1.0, 0.0], [8, 192]))
        >>> round(interval.low, 4), round(interval.high, 4)
        (-0.0773, -0.011)
    """
    tail = tail_probability(level)
    curve = confidence_curve(differences, bounds)
    return Interval(*curve.at(tail), curve.method)


def p_value(differences: Shaped[np.ndarray, " n"], *, bounds: tuple[float, float] | None = (-1.0, 1.0)) -> float:
    """Return the two-sided p-value of "the mean difference over all images is 0", by inverting `paired_interval`.

    It is at most 1 − level if and only if the interval of that level excludes 0, up to rounding. It is 1 if the mean is
    0 or the interval is the bounds. Values below 1e-30 are reported as 1e-30.

    Arguments and errors are those of `paired_interval`.

    Example:
        >>> round(p_value(np.repeat([-1.0, 0.0], [8, 192])), 4)
        0.0061
    """
    return confidence_curve(differences, bounds).p_value()


@dataclass(frozen=True, slots=True)
class ConfidenceCurve:
    """The limits of a mean difference as a function of the probability beyond each limit.

    Attributes:
        function: maps r probabilities to r lower and r upper limits, in units of `scale`.
        mean: the estimate; all intervals contain it.
        scale: unit of the limits.
        method: how the limits are computed.

    Reference:
        Birnbaum 1961, Journal of the American Statistical Association 56:246.
    """

    function: Callable[[Float[np.ndarray, " r"]], Limits]
    mean: float
    scale: float
    method: str

    def at(self, tail: float) -> tuple[float, float]:
        """Return both limits for one probability."""
        low, high = self.limits(np.array([tail]))
        return float(low[0]), float(high[0])

    def limits(self, tails: Float[np.ndarray, " r"]) -> Limits:
        """Return both limits for each of r probabilities."""
        low, high = self.function(tails)
        return np.minimum(self.scale * low, self.mean), np.maximum(self.scale * high, self.mean)

    def p_value(self) -> float:
        """Return the p-value of "the mean is 0": 1 − the largest level at which the limits exclude 0."""
        from scipy import special

        def distance(z: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
            # The distance of the nearer limit from 0, positive if the interval excludes 0.
            low, high = self.limits(special.ndtr(-z))
            return low if self.mean > 0 else -high

        if self.mean == 0:
            return 1.0
        # Limits are nearly linear in the normal quantile z.
        z = find_decreasing_root(distance, 0.0, -float(special.ndtri(MIN_P_VALUE / 2)))
        return max(2 * float(special.ndtr(-z)), MIN_P_VALUE)


def confidence_curve(differences: Shaped[np.ndarray, " n"], bounds: tuple[float, float] | None) -> ConfidenceCurve:
    """Return the limits of `paired_interval` for all levels; arguments and errors are the same."""
    d, half_range = check_sample(differences, "differences"), None
    if bounds is not None:
        least, half_range = bounds
        if not (0 < half_range < math.inf and least == -half_range):
            raise ValueError(f"bounds is {bounds}; it must be -w and w with w positive and finite, or None")
        if np.abs(d).max() > half_range * (1 + _SLACK):
            raise ValueError(f"differences range from {d.min()} to {d.max()}; they must lie within {bounds}")
    mean, largest = float(d.mean()), float(np.abs(d).max())
    if half_range is not None and d.size > 1:
        samples = split_gains_and_losses(np.clip(d[None] / half_range, -1.0, 1.0))
        return ConfidenceCurve(
            lambda tails: mover_limits(samples, tails), mean, half_range, "MOVER of gains and losses"
        )
    if half_range is None and np.ptp(d) > ROUNDING * largest:
        moments = np.array(central_moments(d[None] / largest))

        def limits(tails: Float[np.ndarray, " r"]) -> Limits:
            first, second, third = np.repeat(moments, tails.size, axis=1)
            return unbounded_limits(first, second, third, d.size, tails)

        return ConfidenceCurve(limits, mean, largest, "t with Hall's skewness correction")
    reason = "one image" if d.size == 1 else "all images are equal"
    end = math.inf if half_range is None else half_range
    return ConfidenceCurve(
        lambda tails: (np.full(tails.shape, -end), np.full(tails.shape, end)), mean, 1.0, f"the bounds: {reason}"
    )
