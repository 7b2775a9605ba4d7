"""Intervals: closed forms, invariances, and their coverage, exact or simulated with fixed seeds."""

from __future__ import annotations

import doctest
import itertools
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from cnnshift.stats import intervals
from cnnshift.stats.intervals import Interval, mean_interval

TAIL = 0.025
SIZES = [30, 50, 100, 200, 500, 1000, 5000]
SAMPLES = 4000

Moments = tuple[np.ndarray, np.ndarray, np.ndarray]
# Losses of images that are not at the bound: from the number of them and a generator.
Draw = Callable[[np.random.Generator, int], np.ndarray]


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def clopper_pearson(ones: int, n: int, level: float = 0.95) -> tuple[float, float]:
    interval = stats.binomtest(ones, n).proportion_ci(level, method="exact")
    return interval.low, interval.high


# Mean of bounded values: closed forms


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("ones", "n"), [(1, 10), (0, 30), (1, 30), (49, 50), (3, 100), (4990, 5000), (5000, 5000)])
def test_is_clopper_pearson_for_zeros_and_ones_near_a_bound(ones: int, n: int, level: float) -> None:
    interval = mean_interval(np.arange(n) < ones, level=level)
    assert ends(interval) == pytest.approx(clopper_pearson(ones, n, level), rel=1e-9, abs=1e-15)
    assert interval.method == "generalised Clopper-Pearson"


@pytest.mark.parametrize(("ones", "n"), [(20, 100), (85, 100), (250, 1000)])
def test_follows_the_gamma_distribution_away_from_the_bounds(ones: int, n: int) -> None:
    p = ones / n
    jump, variance = 1 - 2 * p, p * (1 - p) * n / (n - 1)
    k = n * variance / jump**2
    quantiles = stats.gamma.ppf([0.025, 0.975], k + 0.5)
    expected = sorted(p + jump * (quantiles - k) / n)
    interval = mean_interval(np.arange(n) < ones)
    assert ends(interval) == pytest.approx(tuple(expected), rel=1e-9)
    assert interval.method == "skewness-corrected"


def test_is_a_mixture_of_both_in_between() -> None:
    n, mean, variance, third = 1000, np.array([0.065]), np.array([0.02]), np.array([0.004])
    both = [
        intervals._limits_conservative(mean, variance, n, TAIL),
        intervals._limits_skewed(mean, variance, third, n, TAIL),
    ]
    for got, conservative, skewed in zip(intervals.limits_bounded(mean, variance, third, n, TAIL), *both, strict=True):
        assert got == pytest.approx((conservative + skewed) / 2, rel=1e-12)


def test_is_the_z_interval_without_skewness() -> None:
    values = np.tile([0.4, 0.5, 0.6], 40)
    half = stats.norm.ppf(0.975) * values.std(ddof=1) / math.sqrt(values.size)
    assert ends(mean_interval(values)) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-12)


def test_is_continuous_where_the_expansion_takes_over() -> None:
    n, variance = 400, 0.04
    # At 10⁶ jumps: n s² = 10⁶ κ².
    third = variance * math.sqrt(n * variance * n / (n - 1) / intervals._MANY_JUMPS)
    third = np.array([third * (1 - 1e-9), third * (1 + 1e-9)])
    low, high = intervals._limits_skewed(np.full(2, 0.5), np.full(2, variance), third, n, TAIL)
    assert low[0] == pytest.approx(low[1], abs=1e-8)
    assert high[0] == pytest.approx(high[1], abs=1e-8)


@pytest.mark.parametrize("n", [2, 30, 1000, 50_000])
@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_equal_values_leave_the_width_of_the_binomial_interval(value: float, n: int) -> None:
    low, high = ends(mean_interval(np.full(n, value)))
    unseen = 1 - 0.025 ** (1 / n)
    assert low == pytest.approx(value * (1 - unseen), abs=1e-12)
    assert high == pytest.approx(value + (1 - value) * unseen, abs=1e-12)
    assert high - low == pytest.approx(clopper_pearson(0, n)[1], rel=1e-9)


def test_rounding_errors_of_equal_values_count_as_equal() -> None:
    values = np.where(np.arange(60) % 2, 0.3, 0.1 + 0.2)
    assert values.std() > 0
    assert ends(mean_interval(values)) == pytest.approx(ends(mean_interval(np.full(60, 0.3))), abs=1e-12)


def test_one_image_says_nothing() -> None:
    assert ends(mean_interval(np.ones(1))) == (0.0, 1.0)
    assert ends(mean_interval(np.ones(1), bounds=(-1.0, 3.0))) == (-1.0, 3.0)
    assert ends(mean_interval(np.ones(1), bounds=None)) == (-math.inf, math.inf)


# Mean: what holds for all values

fractions = st.integers(2, 60).flatmap(
    lambda n: arrays(np.float64, n, elements=st.sampled_from([0.0, 1 / 288, 0.25, 0.5, 0.9, 287 / 288, 1.0]))
)
levels = st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 0.9999, 1 - 1e-12])


@given(fractions, levels)
def test_lies_within_the_bounds_and_holds_the_mean(values: np.ndarray, level: float) -> None:
    low, high = ends(mean_interval(values, level=level))
    assert 0 <= low <= values.mean() <= high <= 1
    # At a level of 0.01 a skewed interval may end at the estimate.
    assert low < high or level < 0.5


@given(fractions)
def test_grows_with_the_level(values: np.ndarray) -> None:
    for bounds in [(0.0, 1.0), None]:
        if bounds is None and np.ptp(values) == 0:
            continue
        found = [ends(mean_interval(values, bounds=bounds, level=p)) for p in (0.5, 0.9, 0.95, 0.9999)]
        for (low, high), (lower, higher) in itertools.pairwise(found):
            assert lower <= low <= high <= higher


@given(fractions, levels)
def test_mirrors_and_scales_with_the_values(values: np.ndarray, level: float) -> None:
    low, high = ends(mean_interval(values, level=level))
    assert ends(mean_interval(1 - values, level=level)) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    scaled = mean_interval(8 * values - 3, bounds=(-3.0, 5.0), level=level)
    assert ends(scaled) == pytest.approx((8 * low - 3, 8 * high - 3), abs=1e-9)


def test_does_not_depend_on_the_order_or_the_type_of_the_values() -> None:
    values = np.arange(200) % 3 == 0
    expected = ends(mean_interval(values))
    assert ends(mean_interval(values[::-1])) == pytest.approx(expected, rel=1e-12)
    assert ends(mean_interval(values.astype(np.int8))) == expected
    assert ends(mean_interval(values.astype(np.float32))) == expected


def test_takes_values_that_leave_the_bounds_by_rounding_only() -> None:
    assert ends(mean_interval(np.full(10, 1 + 1e-12))) == ends(mean_interval(np.ones(10)))
    with pytest.raises(ValueError, match="within"):
        mean_interval(np.array([0.5, 1.001]))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.array([]), {}, "at least one"),
        (np.array([0.5, np.nan]), {}, "1 of 2 values are not finite"),
        (np.array([0.5, np.inf]), {"bounds": None}, "not finite"),
        (np.array([-0.1, 0.5]), {}, "within"),
        (np.array([0.1, 0.5]), {"bounds": (1.0, 0.0)}, "less than"),
        (np.array([0.1, 0.5]), {"level": 1.0}, "between 0 and 1"),
        (np.array([0.1, 0.5]), {"level": 0.0}, "between 0 and 1"),
    ],
)
def test_refuses_what_has_no_interval(values: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_interval(values, **options)


# Mean of bounded values: coverage


def is_away(mean: float, n: int) -> bool:
    """Whether coverage has an upper limit too: at 50 images it is 0.977 for a mean of 0.1."""
    return n >= 50 and min(mean, 1 - mean) >= (0.1 if n >= 100 else 0.14)


def coverage(mean: float, moments: Moments, n: int) -> float:
    low, high = intervals.limits_bounded(*moments, n, TAIL)
    return float(((low <= mean) & (mean <= high)).mean())


def binomial_coverage(p: np.ndarray, n: int) -> np.ndarray:
    """Exact coverage of the mean of n values 0 or 1, for every p."""
    mean = np.arange(n + 1) / n
    variance = mean * (1 - mean)
    low, high = intervals.limits_bounded(mean, variance, variance * (1 - 2 * mean), n, TAIL)
    held = (low <= p[:, None]) & (p[:, None] <= high)
    return (stats.binom.pmf(np.arange(n + 1), n, p[:, None]) * held).sum(axis=1)


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
    # Other intervals step beyond 97 % as well: this is Wilson's.
    ones = np.arange(51)
    z = stats.norm.ppf(0.975)
    centre, half = (ones + z**2 / 2) / (50 + z**2), z / (50 + z**2) * np.sqrt(ones * (50 - ones) / 50 + z**2 / 4)
    held = abs(centre - p[:, None]) <= half
    assert (stats.binom.pmf(ones, 50, p[:, None]) * held).sum(axis=1).max() > 0.97


BETA = [
    (0.1, 0.1), (1, 1), (20, 20), (200, 200), (0.1, 0.9), (0.5, 2), (2, 18), (20, 180), (1, 4), (15, 85),
    (40, 10), (9, 1), (0.05, 0.95), (4, 76), (76, 4), (0.02, 1.98), (0.1, 9.9), (198, 2), (0.1, 99.9),
]  # fmt: skip


@pytest.mark.parametrize("n", [30, 50, 100, 200])
def test_coverage_of_beta_values(n: int) -> None:
    for i, (a, b) in enumerate(BETA):
        rng = np.random.default_rng([n, i])
        mean = a / (a + b)
        covered = coverage(mean, intervals.moments_of(rng.beta(a, b, (SAMPLES, n))), n)
        assert covered >= 0.93, (a, b)
        if is_away(mean, n):
            assert covered <= 0.97, (a, b)


def draw_moments(rng: np.random.Generator, n: int, rate: float, draw: Draw) -> Moments:
    """Central moments of samples in which an image loses `draw` with probability `rate`, else 0."""
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
    """Multiples of 1/288, as of a consistency over 288 shifts."""
    return np.ceil(288 * rng.beta(0.5, 2, size)) / 288


def one_shift(_: np.random.Generator, size: int) -> np.ndarray:
    return np.full(size, 1 / 288)


def half(_: np.random.Generator, size: int) -> np.ndarray:
    return np.full(size, 0.5)


def rarely(big: float, share: float) -> Draw:
    """Small losses of 0.02 on average, a `share` of them `big` instead."""

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
# Images that lose, on average.
LOSING = [0.5, 1.5, 4, 10, 35]


@pytest.mark.parametrize("n", SIZES)
def test_coverage_where_most_images_are_at_a_bound(n: int) -> None:
    for i, (name, (loss, draw)) in enumerate(LOSSES.items()):
        for losing in [losing for losing in LOSING if losing < n]:
            rng = np.random.default_rng([n, i, int(10 * losing)])
            rate = losing / n
            mean, moments = rate * loss, draw_moments(rng, n, rate, draw)
            covered = coverage(mean, moments, n)
            assert covered >= 0.93, (name, rate)
            if is_away(mean, n):
                assert covered <= 0.97, (name, rate)


def test_coverage_where_images_of_another_kind_are_rarely_drawn_is_what_the_documentation_says() -> None:
    n, distance = 100, 0.4
    for expected, spread, low, high in [
        # One on average, and hardly any spread: covered only where it was drawn, 1 − 1/e = 0.632.
        (1.0, 0.02 * distance / math.sqrt(n), 0.60, 0.66),
        (4.0, 0.02 * distance / math.sqrt(n), 0.93, 1.0),
        # A spread of 2 d / √n hides them in any case.
        *[(count, 2 * distance / math.sqrt(n), 0.93, 0.97) for count in (0.5, 1.0, 2.0, 3.0)],
    ]:
        rng = np.random.default_rng([7, int(10 * expected)])
        others = 0.5 + spread * math.sqrt(12) * (rng.random((10_000, n)) - 0.5)
        values = others + distance * (rng.random((10_000, n)) < expected / n)
        covered = coverage(0.5 + distance * expected / n, intervals.moments_of(values), n)
        assert low <= covered <= high, (expected, spread)


def test_is_narrow_where_values_are() -> None:
    rng = np.random.default_rng(0)
    values = rng.beta(200, 200, 50)
    low, high = ends(mean_interval(values))
    assert high - low < 1.1 * 2 * stats.t.ppf(0.975, 49) * values.std(ddof=1) / math.sqrt(50)


# Mean of unbounded values


def hall(mean: float, values: np.ndarray) -> np.ndarray:
    """Hall's transformation of the t statistic, in the direction in which Hall gives it."""
    n = values.shape[-1]
    centred = values - values.mean(axis=-1, keepdims=True)
    skewness = (centred**3).mean(axis=-1) / (centred**2).mean(axis=-1) ** 1.5 / math.sqrt(n)
    t = (values.mean(axis=-1) - mean) / (values.std(axis=-1, ddof=1) / math.sqrt(n))
    return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_limits_of_unbounded_values_are_where_halls_statistic_is_a_quantile_of_t(level: float) -> None:
    for sign in (1, -1):
        values = sign * np.random.default_rng(3).lognormal(size=40)
        low, high = ends(mean_interval(values, bounds=None, level=level))
        t = stats.t.ppf((1 + level) / 2, 39)
        assert hall(low, values) == pytest.approx(t, rel=1e-9)
        assert hall(high, values) == pytest.approx(-t, rel=1e-9)


def test_is_the_t_interval_without_skewness() -> None:
    values = np.tile([-1.0, 0.0, 1.0, 5.0, 6.0, 7.0], 5)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert ends(mean_interval(values, bounds=None)) == pytest.approx((expected.low, expected.high), rel=1e-9)
    nearly = values + np.where(np.arange(30) == 3, 1e-4, 0.0)
    assert ends(mean_interval(nearly, bounds=None)) == pytest.approx((expected.low, expected.high), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1e100])
def test_unbounded_limits_scale_with_the_values(scale: float) -> None:
    values = np.random.default_rng(4).gamma(2.0, size=30)
    expected = scale * np.array(ends(mean_interval(values, bounds=None)))
    assert ends(mean_interval(scale * values, bounds=None)) == pytest.approx(tuple(expected), rel=1e-9)


def test_unbounded_values_that_are_equal_say_nothing() -> None:
    assert ends(mean_interval(np.zeros(50), bounds=None)) == (-math.inf, math.inf)
    assert ends(mean_interval(np.full(50, 0.3), bounds=(0.0, math.inf))) == (0.0, math.inf)


def test_one_bound_is_kept() -> None:
    values = np.array([0.0] * 20 + [5.0])
    assert mean_interval(values, bounds=None).low < 0
    assert mean_interval(values, bounds=(0.0, math.inf)).low == 0


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
    low, high = intervals.limits_unbounded(*intervals.moments_of(samples), n, TAIL)
    assert least <= ((low <= mean) & (mean <= high)).mean() <= 0.97


# The module


def test_examples_of_the_documentation() -> None:
    assert doctest.testmod(intervals).failed == 0


def test_importing_does_not_load_scipy() -> None:
    code = "import sys, cnnshift.stats.intervals; assert 'scipy' not in sys.modules and 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
