"""BCa bootstrap over images (bias-corrected and accelerated), for statistics that are not means over images.

Kappa and ratios of bounded means are skewed near the ends of their range, where the percentile interval covers 92 % and
BCa at least 94 % for n = 50 to 300. Ratios of unbounded means are an exception (lognormal values, n = 50: BCa 89 %,
percentile 93 %). The acceleration comes from a delete-a-group jackknife: deleting every image costs n² operations.

Reference:
    Efron 1987, Journal of the American Statistical Association 82:171.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from cnnshift.array_types import Float
from cnnshift.stats.intervals import ROUNDING, Interval, tail_probability

# Largest number of weights per call of the statistic (16 MiB).
_MAX_WEIGHTS = 2**21
_MAX_GROUPS = 200
# Smallest fraction of replicates with a finite statistic.
_MIN_FINITE = 0.95

Statistic = Callable[[Float[np.ndarray, "b n"]], Float[np.ndarray, " b"]]


def bca_interval(
    statistic: Statistic, n: int, *, seed: int = 0, replicates: int = 2000, level: float = 0.95
) -> Interval | None:
    """Return the BCa interval of a statistic of n images.

    A replicate is a row of weights w: how often each image is drawn in n draws with replacement. The limits are the
    quantiles Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z))) of the statistic over the replicates at z = ∓Φ⁻¹(1 − α / 2), where
    Φ(z₀) is the fraction of replicates below the estimate (ties count half) and the acceleration a is a sixth of the
    skewness of the jackknife values. The interval contains the estimate. It is too short if few images differ from the
    others, because replicates without them are frequent.

    Args:
        statistic: maps weights [b, n] to one value per row. Rows add up to n; in the jackknife they are not integers.
            It is called with at most 2 million weights.
        n: number of images.
        seed: seed of the draws.
        replicates: number of bootstrap replicates.
        level: nominal coverage, between 0 and 1.

    Returns:
        The interval. None if n is 1, all replicates are equal within rounding, the estimate is not finite, or more than
        5 % of the replicates are not finite; fewer of them are left out.

    Raises:
        ValueError: `n` or `replicates` is less than 1, `level` is not between 0 and 1, or the statistic does not return
            one value per row.

    Example:
        >>> correct, certain = np.array([1.0, 0, 1, 1, 0, 1]), np.array([1.0, 1, 1, 1, 0, 1])
        >>> interval = bca_interval(lambda w: (w @ correct) / (w @ certain), 6)
        >>> interval.low <= 4 / 5 <= interval.high
        True
    """
    from scipy import special

    tail = tail_probability(level)
    if n < 1 or replicates < 1:
        raise ValueError(f"n is {n} and replicates is {replicates}; both must be at least 1")
    estimate = float(_evaluate(statistic, np.ones((1, n)))[0])
    if n == 1 or not math.isfinite(estimate):
        return None
    rng = np.random.default_rng(seed)
    values = np.concatenate([_evaluate(statistic, w) for w in _draw_weights(rng, n, replicates)])
    values = values[np.isfinite(values)]
    if values.size < _MIN_FINITE * replicates:
        return None
    rounding = ROUNDING * max(abs(estimate), float(np.abs(values).max()))
    if np.ptp(values) <= rounding:
        return None
    ties = np.abs(values - estimate) <= rounding
    below = ((values < estimate) & ~ties).mean() + ties.mean() / 2
    # If all replicates are on one side, the probability of the other is only known to be below 1 / replicates.
    bias = special.ndtri(np.clip(below, 0.5 / values.size, 1 - 0.5 / values.size))
    acceleration = _jackknife_acceleration(statistic, n, rng)
    shifted = bias + special.ndtri(np.array([tail, 1 - tail]))
    # The acceleration is at most 1/6. If one image dominates, extreme levels pass the pole of the quotient, and the
    # limit is the outermost replicate.
    quotient = shifted / np.maximum(1 - acceleration * shifted, 1e-9)
    low, high = np.quantile(values, special.ndtr(bias + quotient))
    return Interval(min(float(low), estimate), max(float(high), estimate), "BCa bootstrap over images")


def _draw_weights(rng: np.random.Generator, n: int, rows: int) -> Iterator[Float[np.ndarray, "b n"]]:
    """Yield chunks of multinomial weights of n images, `rows` rows in total."""
    chunk = max(1, _MAX_WEIGHTS // n)
    for start in range(0, rows, chunk):
        b = min(chunk, rows - start)
        drawn = rng.integers(0, n, size=(b, n)) + n * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def _evaluate(statistic: Statistic, weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
    values = np.asarray(statistic(weights), dtype=np.float64)
    if values.shape != weights.shape[:1]:
        raise ValueError(f"statistic returned shape {values.shape} for {len(weights)} rows of weights")
    return values


def _jackknife_acceleration(statistic: Statistic, n: int, rng: np.random.Generator) -> float:
    """Return a sixth of the skewness of the jackknife values over random groups of images.

    Sums of squares and cubes of influence values have the same expectation over random groups as over images, so that
    grouping adds noise but no bias.
    """
    groups = min(n, _MAX_GROUPS)
    group = rng.permutation(n) % groups
    chunk = max(1, _MAX_WEIGHTS // n)
    parts = []
    for start in range(0, groups, chunk):
        retained = (group != np.arange(start, min(start + chunk, groups))[:, None]).astype(np.float64)
        parts.append(_evaluate(statistic, retained * (n / retained.sum(axis=1, keepdims=True))))
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0
    deviation = values.mean() - values
    square = float((deviation**2).sum())
    if square <= (ROUNDING * float(np.abs(values).max())) ** 2:
        return 0.0
    return float((deviation**3).sum()) / (6 * square**1.5)
