"""Coverage of the intervals, exact or simulated with fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from cnnshift.stats import intervals

TAIL = 0.025
SIZES = [30, 50, 100, 200, 500, 1000, 5000]
SAMPLES = 4000
Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


# Draws a number of losses of images that are not at the bound.
Draw = Callable[[np.random.Generator, int], np.ndarray]


def is_away(mean: float, n: int) -> bool:
    """Return whether coverage has an upper limit too: at 50 images it is 0.977 for a mean of 0.1."""
    return n >= 50 and min(mean, 1 - mean) >= (0.1 if n >= 100 else 0.14)


def coverage(mean: float, moments: Moments, n: int) -> float:
    # Many samples of few losses are equal.
    distinct, counts = np.unique(np.stack(moments), axis=1, return_counts=True)
    low, high = intervals.bounded_limits(distinct[0], distinct[1], distinct[2], n, TAIL)
    return float(((low <= mean) & (mean <= high)) @ counts / counts.sum())


def binomial_coverage(p: np.ndarray, n: int) -> np.ndarray:
    """Return the exact coverage of the mean of n values 0 or 1, for every p."""
    mean = np.arange(n + 1) / n
    variance = mean * (1 - mean)
    low, high = intervals.bounded_limits(mean, variance, variance * (1 - 2 * mean), n, TAIL)
    contained = (low <= p[:, None]) & (p[:, None] <= high)
    return (stats.binom.pmf(np.arange(n + 1), n, p[:, None]) * contained).sum(axis=1)


@pytest.mark.parametrize("n", SIZES)
def test_coverage_of_zeros_and_ones_is_at_least_93_percent_for_every_p(n: int) -> None:
    p = np.concatenate([np.geomspace(1e-3 / n, 0.1, 300), np.linspace(0.1, 0.5, 100)])
    assert binomial_coverage(p, n).min() >= 0.93
    # Mirrored, but with other rounding errors.
    assert binomial_coverage(1 - p, n).min() >= 0.93


@pytest.mark.parametrize("n", [100, 200, 500, 1000, 5000])
def test_coverage_of_zeros_and_ones_is_at_most_97_percent_away_from_the_bounds(n: int) -> None:
    assert binomial_coverage(np.linspace(0.1, 0.9, 401), n).max() <= 0.97


def test_coverage_of_zeros_and_ones_at_50_images_exceeds_97_percent_by_steps_of_the_binomial() -> None:
    p = np.linspace(0.1, 0.9, 401)
    covered = binomial_coverage(p, 50)
    assert (covered <= 0.97).mean() > 0.9
    assert covered[(p >= 0.2) & (p <= 0.8)].max() < 0.973
    # Other intervals also exceed 97 % in places: this is Wilson's.
    ones = np.arange(51)
    z = stats.norm.ppf(0.975)
    center, half = (ones + z**2 / 2) / (50 + z**2), z / (50 + z**2) * np.sqrt(ones * (50 - ones) / 50 + z**2 / 4)
    contained = abs(center - p[:, None]) <= half
    assert (stats.binom.pmf(ones, 50, p[:, None]) * contained).sum(axis=1).max() > 0.97


BETA = [
    (0.1, 0.1), (1, 1), (20, 20), (200, 200), (0.1, 0.9), (0.5, 2), (2, 18), (20, 180), (1, 4), (15, 85),
    (40, 10), (9, 1), (0.05, 0.95), (4, 76), (76, 4), (0.02, 1.98), (0.1, 9.9), (198, 2), (0.1, 99.9),
]  # fmt: skip


@pytest.mark.parametrize("n", [30, 50, 100, 200])
def test_coverage_of_beta_values(n: int) -> None:
    for i, (a, b) in enumerate(BETA):
        rng = np.random.default_rng([n, i])
        mean = a / (a + b)
        covered = coverage(mean, intervals.central_moments(rng.beta(a, b, (SAMPLES, n))), n)
        assert covered >= 0.93, (a, b)
        if is_away(mean, n):
            assert covered <= 0.97, (a, b)


def draw_moments(rng: np.random.Generator, n: int, rate: float, draw: Draw) -> Moments:
    """Return the central moments of samples in which an image loses `draw` with probability `rate`, else 0."""
    losing = rng.binomial(n, rate, SAMPLES)
    loss = draw(rng, losing.sum())
    sample = np.repeat(np.arange(SAMPLES), losing)
    mean, square, cube = (np.bincount(sample, loss**k, SAMPLES) / n for k in (1, 2, 3))
    return mean, np.maximum(square - mean**2, 0.0), cube - 3 * mean * square + 2 * mean**3


def uniform(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.random(size)


def beta(a: float, b: float) -> Draw:
    return lambda rng, size: rng.beta(a, b, size)


def grid(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw multiples of 1/288, like a consistency over 288 shifts."""
    return np.ceil(288 * rng.beta(0.5, 2, size)) / 288


def one_shift(_: np.random.Generator, size: int) -> np.ndarray:
    return np.full(size, 1 / 288)


def half(_: np.random.Generator, size: int) -> np.ndarray:
    return np.full(size, 0.5)


def rarely(big: float, share: float) -> Draw:
    """Return a draw of losses of 0.02 on average, of which a `share` is `big` instead."""

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        return np.where(rng.random(size) < share, big, rng.beta(1, 49, size))

    return draw


GRID_MEAN = float((stats.beta.sf(np.arange(288) / 288, 0.5, 2)).sum() / 288)


LOSSES: dict[str, tuple[float, Draw]] = {
    "uniform": (0.5, uniform),
    "half": (0.5, half),
    "small": (1 / 6, beta(1, 5)),
    "large": (5 / 6, beta(5, 1)),
    "tiny": (1 / 51, beta(1, 50)),
    "either end": (0.2, beta(0.2, 0.8)),
    "multiples of 1/288": (GRID_MEAN, grid),
    "1/288": (1 / 288, one_shift),
    "small or rarely 0.8": (0.02 * 0.98 + 0.8 * 0.02, rarely(0.8, 0.02)),
    "small or rarely 1": (0.02 * 0.9 + 0.1, rarely(1.0, 0.1)),
}


# Average number of images with a loss.
LOSING = [0.5, 1.5, 4, 10, 35]


@pytest.mark.parametrize("n", SIZES)
def test_coverage_if_most_images_are_at_a_bound(n: int) -> None:
    for i, (name, (loss, draw)) in enumerate(LOSSES.items()):
        for losing in [losing for losing in LOSING if losing < n]:
            rng = np.random.default_rng([n, i, int(10 * losing)])
            rate = losing / n
            mean, moments = rate * loss, draw_moments(rng, n, rate, draw)
            covered = coverage(mean, moments, n)
            assert covered >= 0.93, (name, rate)
            if is_away(mean, n):
                assert covered <= 0.97, (name, rate)


def test_coverage_with_rare_images_far_from_the_others_is_as_documented() -> None:
    n, distance = 100, 0.4
    for expected, deviation, low, high in [
        # One on average, and others that hardly vary: covered only if one is drawn, 1 − 1/e = 0.632.
        (1.0, 0.02 * distance / math.sqrt(n), 0.60, 0.66),
        (4.0, 0.02 * distance / math.sqrt(n), 0.93, 1.0),
        # A standard deviation of 2 d / √n of the others is enough.
        *[(count, 2 * distance / math.sqrt(n), 0.93, 0.97) for count in (0.5, 1.0, 2.0, 3.0)],
    ]:
        rng = np.random.default_rng([7, int(10 * expected)])
        others = 0.5 + deviation * math.sqrt(12) * (rng.random((10_000, n)) - 0.5)
        values = others + distance * (rng.random((10_000, n)) < expected / n)
        covered = coverage(0.5 + distance * expected / n, intervals.central_moments(values), n)
        assert low <= covered <= high, (expected, deviation)


@pytest.mark.parametrize("n", [30, 100, 500])
@pytest.mark.parametrize(
    ("draw", "mean", "least"),
    [
        (lambda rng, size: rng.normal(size=size), 0.0, 0.93),
        (lambda rng, size: rng.gamma(1.0, size=size), 1.0, 0.93),
        (lambda rng, size: rng.gamma(0.25, size=size), 0.25, 0.93),
        (lambda rng, size: rng.lognormal(sigma=0.5, size=size), math.exp(0.125), 0.93),
        # Heavy tails: 0.92 to 0.94, where the t interval has 0.88 to 0.935.
        (lambda rng, size: rng.lognormal(size=size), math.exp(0.5), 0.92),
    ],
)
def test_coverage_of_unbounded_values(n: int, draw: Callable, mean: float, least: float) -> None:
    samples = draw(np.random.default_rng(n), (8000, n))
    low, high = intervals.unbounded_limits(*intervals.central_moments(samples), n, TAIL)
    assert least <= ((low <= mean) & (mean <= high)).mean() <= 0.97
