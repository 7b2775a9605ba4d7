"""Confidence intervals by resampling images, for statistics that are not means over them.

The BCa bootstrap over images: kappa and ratios of bounded means are skewed
near the ends of their range, where the percentile interval covers 92 %, and BCa 94 % or more, at
n = 50 to 300. Ratios of unbounded means are the exception (lognormal values at n = 50: 89 %, against
93 %). The acceleration is that of a delete-a-group jackknife, because deleting each image costs n²
operations.

Source:
    Efron 1987, Journal of the American Statistical Association 82:171 (BCa).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from cnnshift.stats.intervals import AGREEMENT, Interval, tail_probability

# A chunk of resampling weights has at most this many entries (16 MiB of them).
_CELLS = 2**21
_GROUPS = 200
# Share of replicates on which a statistic must be finite.
_DEFINED = 0.95


def bca_interval(
    statistic: Callable[[Float[np.ndarray, "b n"]], Float[np.ndarray, " b"]],
    n: int,
    *,
    seed: int = 0,
    replicates: int = 2000,
    level: float = 0.95,
) -> Interval | None:
    """BCa bootstrap interval of a statistic of n images that is not a mean over them.

    Replicates differ by weights w [b, n] of the images: how often each was drawn, n in total. The
    limits are the quantiles Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z))) of the replicates at z = ∓1.96,
    where Φ(z₀) is the share of replicates below the estimate, ties by half, and a the acceleration.

    The interval holds the estimate. It is None where resampling says nothing of the error: one
    image, replicates that all agree (every image alike), or a statistic that is not finite on the
    images or on more than 5 % of the replicates; fewer such replicates are left out. Where only a
    few images differ from the others it is too short, because a replicate may hold none of them.

    Args:
        statistic: from weights [b, n] to one value per row. Rows add up to n, but are not whole
            numbers in the jackknife. It is called with up to 2 million weights at a time.
        n: number of images.
        seed: of the draws; the same seed gives the same interval.
        replicates: how many times the images are drawn.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: n or replicates less than 1, a level that is not between 0 and 1, or a statistic
            that does not return one value per row.

    Example:
        >>> correct, sure = np.array([1.0, 0, 1, 1, 0, 1]), np.array([1.0, 1, 1, 1, 0, 1])
        >>> interval = bca_interval(lambda w: (w @ correct) / (w @ sure), 6)
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
    drawn = np.concatenate([_evaluate(statistic, w) for w in _draw_weights(rng, n, replicates)])
    values = drawn[np.isfinite(drawn)]
    if values.size < _DEFINED * replicates:
        return None
    agree = AGREEMENT * max(abs(estimate), float(np.abs(values).max()))
    if np.ptp(values) <= agree:
        return None
    ties = np.abs(values - estimate) <= agree
    share = ((values < estimate) & ~ties).mean() + ties.mean() / 2
    # Replicates all on one side say only that the share is less than one in `replicates`.
    bias = special.ndtri(np.clip(share, 0.5 / values.size, 1 - 0.5 / values.size))
    acceleration = _accelerate(statistic, n, rng)
    shifted = bias + special.ndtri(np.array([tail, 1 - tail]))
    # The acceleration is at most 1/6. Where one image dominates, extreme levels pass the pole of the
    # quotient; the limit is then the outermost replicate.
    quotient = shifted / np.maximum(1 - acceleration * shifted, 1e-9)
    low, high = np.quantile(values, special.ndtr(bias + quotient))
    return Interval(min(float(low), estimate), max(float(high), estimate), "BCa bootstrap over images")


def _draw_weights(rng: np.random.Generator, n: int, rows: int) -> Iterator[Float[np.ndarray, "b n"]]:
    """How often each of n images is drawn in n draws with replacement, `rows` times, in chunks."""
    chunk = max(1, _CELLS // n)
    for start in range(0, rows, chunk):
        b = min(chunk, rows - start)
        drawn = rng.integers(0, n, size=(b, n)) + n * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def _evaluate(
    statistic: Callable[[Float[np.ndarray, "b n"]], Float[np.ndarray, " b"]], weights: Float[np.ndarray, "b n"]
) -> Float[np.ndarray, " b"]:
    """The statistic of every row, checked."""
    values = np.asarray(statistic(weights), dtype=np.float64)
    if values.shape != weights.shape[:1]:
        raise ValueError(f"statistic returned shape {values.shape} for {len(weights)} rows of weights")
    return values


def _accelerate(
    statistic: Callable[[Float[np.ndarray, "b n"]], Float[np.ndarray, " b"]], n: int, rng: np.random.Generator
) -> float:
    """A sixth of the skewness of the jackknife values, over random groups of images.

    Sums of squares and cubes of influences over random groups have the expectation of those over
    images, so grouping adds noise and no bias.
    """
    groups = min(n, _GROUPS)
    group = rng.permutation(n) % groups
    chunk = max(1, _CELLS // n)
    parts = []
    for start in range(0, groups, chunk):
        kept = (group != np.arange(start, min(start + chunk, groups))[:, None]).astype(np.float64)
        parts.append(_evaluate(statistic, kept * (n / kept.sum(axis=1, keepdims=True))))
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0
    deviation = values.mean() - values
    square = float((deviation**2).sum())
    if square <= (AGREEMENT * float(np.abs(values).max())) ** 2:
        return 0.0
    return float((deviation**3).sum()) / (6 * square**1.5)
