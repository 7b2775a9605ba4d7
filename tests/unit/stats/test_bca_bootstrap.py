"""BCa bootstrap intervals: agreement with SciPy, invariances, and coverage with fixed seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from cnnshift.stats import bca_bootstrap
from cnnshift.stats.bca_bootstrap import bca_interval
from cnnshift.stats.intervals import Interval


def ends(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def ratio(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda weights: (weights @ x) / (weights @ y)


def scipy_bca(*samples: np.ndarray, statistic: Callable) -> tuple[float, float]:
    found = stats.bootstrap(samples, statistic, paired=True, n_resamples=20_000, rng=1).confidence_interval
    return found.low, found.high


def test_agrees_with_scipy_on_a_skewed_ratio() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.lognormal(sigma=1.2, size=40), 1 + rng.random(40)
    low, high = scipy_bca(x, y, statistic=lambda x, y, axis=-1: x.mean(axis=axis) / y.mean(axis=axis))
    found = ends(bca_interval(ratio(x, y), 40, replicates=20_000))
    # Both are random: an extreme quantile of 20,000 replicates has an error of about 1 % of the width.
    assert found == pytest.approx((low, high), abs=0.03 * (high - low))


def test_agrees_with_scipy_where_replicates_tie_with_the_estimate() -> None:
    x = (np.arange(50) < 3).astype(float)
    expected = scipy_bca(x, statistic=lambda x, axis=-1: x.mean(axis=axis))
    found = ends(bca_interval(ratio(x, np.ones(50)), 50, replicates=20_000))
    assert found == pytest.approx(expected, abs=1e-9)


def test_acceleration_is_that_of_the_jackknife() -> None:
    x = np.random.default_rng(0).gamma(1.0, size=150)
    statistic = ratio(x, np.ones(150))
    # Of a mean: a sixth of the skewness, divided by √n.
    expected = stats.skew(x) / math.sqrt(150) / 6
    acceleration = bca_bootstrap._jackknife_acceleration(statistic, 150, np.random.default_rng(0))
    assert acceleration == pytest.approx(expected, rel=1e-9)
    x = np.random.default_rng(0).gamma(1.0, size=20_000)
    expected = stats.skew(x) / math.sqrt(20_000) / 6
    got = bca_bootstrap._jackknife_acceleration(ratio(x, np.ones(20_000)), 20_000, np.random.default_rng(0))
    # Sums over 200 groups have a skewness with a standard error of √(6 / 200); a sixth, over √200.
    assert got == pytest.approx(expected, abs=4 * math.sqrt(6 / 200) / 6 / math.sqrt(200))


def test_weights_are_multinomial_and_come_in_bounded_chunks() -> None:
    n, totals = 30_000, []
    chunks = list(bca_bootstrap._draw_weights(np.random.default_rng(0), n, 100))
    assert max(chunk.size for chunk in chunks) <= bca_bootstrap._MAX_WEIGHTS
    weights = np.concatenate(chunks)
    assert weights.shape == (100, n)
    assert (weights.sum(axis=1) == n).all()
    # Nearly Poisson(1): mean 1, variance 1 − 1/n.
    assert weights.var() == pytest.approx(1.0, abs=0.005)
    bca_interval(lambda w: (totals.append(w.sum(axis=1)), w[:, 0])[1], 300, replicates=50)
    assert np.concatenate(totals) == pytest.approx(300.0)


def test_same_seed_gives_the_same_interval() -> None:
    x = np.random.default_rng(0).random(60)
    statistic = ratio(x, 1 - x / 2)
    assert bca_interval(statistic, 60) == bca_interval(statistic, 60)
    assert bca_interval(statistic, 60) != bca_interval(statistic, 60, seed=1)


def test_interval_contains_the_estimate_and_grows_with_the_level() -> None:
    x = np.random.default_rng(1).random(40) ** 8
    statistic = ratio(x, np.ones(40))
    found = [ends(bca_interval(statistic, 40, level=p)) for p in (0.02, 0.5, 0.9, 0.95, 0.99, 0.999999)]
    estimate = statistic(np.ones((1, 40)))[0]
    assert all(low <= estimate <= high for low, high in found)
    for (low, high), (lower, higher) in itertools.pairwise(found):
        assert lower <= low <= high <= higher


@pytest.mark.parametrize(
    ("statistic", "n"),
    [
        (ratio(np.ones(50), np.ones(50)), 50),
        (ratio(np.full(50, 0.1), np.full(50, 0.3)), 50),
        (ratio(np.zeros(50), np.ones(50)), 50),
        (lambda weights: weights[:, 0], 1),
        (lambda weights: np.full(len(weights), np.nan), 50),
        (lambda weights: np.where(weights[:, 0] > 0, weights[:, 1], np.nan), 50),
    ],
    ids=["equal", "equal up to rounding", "zero", "one image", "undefined", "often undefined"],
)
def test_returns_none_where_replicates_do_not_vary_or_are_not_finite(statistic: Callable, n: int) -> None:
    assert bca_interval(statistic, n) is None


def test_leaves_out_a_few_replicates_that_are_not_finite() -> None:
    x = np.random.default_rng(0).random(20)
    rare = np.arange(20) < 5  # a replicate holds none of them with probability 0.3 %

    def statistic(weights: np.ndarray) -> np.ndarray:
        count = weights @ rare
        return np.where(count > 0, (weights @ (x * rare)) / np.maximum(count, 1e-9), np.inf)

    low, high = ends(bca_interval(statistic, 20))
    assert low < x[:5].mean() < high


def test_one_dominating_image_does_not_reverse_the_limits() -> None:
    x = np.where(np.arange(100) == 0, 1000.0, np.linspace(0, 1, 100))
    acceleration = bca_bootstrap._jackknife_acceleration(ratio(x, np.ones(100)), 100, np.random.default_rng(0))
    assert acceleration == pytest.approx(1 / 6, rel=0.02)
    for level in (0.95, 0.999999):
        low, high = ends(bca_interval(ratio(x, np.ones(100)), 100, level=level))
        assert 0 < low < x.mean() < high


@pytest.mark.parametrize(
    ("statistic", "n", "options", "message"),
    [
        (lambda w: w[:, 0], 0, {}, "at least 1"),
        (lambda w: w[:, 0], 5, {"replicates": 0}, "at least 1"),
        (lambda w: w[:, 0], 5, {"level": 1.5}, "between 0 and 1"),
        (lambda w: w.sum(), 5, {}, "shape"),
    ],
)
def test_rejects_invalid_arguments(statistic: Callable, n: int, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bca_interval(statistic, n, **options)


def test_coverage_of_kappa() -> None:
    n, samples, flip, positive = 100, 300, 0.05, 0.9
    first = positive * (1 - flip) + (1 - positive) * flip
    agree, chance = (1 - flip) ** 2 + flip**2, first**2 + (1 - first) ** 2
    kappa = (agree - chance) / (1 - chance)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(samples):
        truth = rng.random(n) < positive
        a, b = ((truth ^ (rng.random(n) < flip)).astype(float) for _ in range(2))
        table = np.stack([a == b, a, b], axis=1).astype(float)

        def statistic(weights: np.ndarray, table: np.ndarray = table) -> np.ndarray:
            p, a, b = (weights @ table / n).T
            by_chance = a * b + (1 - a) * (1 - b)
            return (p - by_chance) / (1 - by_chance)

        low, high = ends(bca_interval(statistic, n, replicates=500))
        held += low <= kappa <= high
    # Coverage is 0.955; three standard errors of 300 samples are 0.036.
    assert 0.919 <= held / samples <= 0.991
