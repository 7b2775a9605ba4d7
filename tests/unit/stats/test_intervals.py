"""Intervals of means: closed forms and invariances."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from cnnshift.stats import intervals
from cnnshift.stats.intervals import Interval, mean_interval

TAIL = 0.025


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
    assert interval.method == "generalized Clopper-Pearson"


@pytest.mark.parametrize(("ones", "n"), [(20, 100), (85, 100), (250, 1000)])
def test_is_a_shifted_gamma_interval_away_from_the_bounds(ones: int, n: int) -> None:
    p = ones / n
    jump, variance = 1 - 2 * p, p * (1 - p) * n / (n - 1)
    k = n * variance / jump**2
    quantiles = stats.gamma.ppf([0.025, 0.975], k + 0.5)
    expected = sorted(p + jump * (quantiles - k) / n)
    interval = mean_interval(np.arange(n) < ones)
    assert ends(interval) == pytest.approx(tuple(expected), rel=1e-9)
    assert interval.method == "shifted gamma"


def test_is_the_mean_of_both_limits_halfway_between() -> None:
    n, mean, variance, third = 1000, np.array([0.065]), np.array([0.02]), np.array([0.004])
    both = [
        intervals._clopper_pearson_limits(mean, variance, n, TAIL),
        intervals._shifted_gamma_limits(mean, variance, third, n, TAIL),
    ]
    limits = intervals.bounded_limits(mean, variance, third, n, TAIL)
    for limit, clopper_pearson, gamma in zip(limits, *both, strict=True):
        assert limit == pytest.approx((clopper_pearson + gamma) / 2, rel=1e-12)


def test_is_the_z_interval_without_skewness() -> None:
    values = np.tile([0.4, 0.5, 0.6], 40)
    half = stats.norm.ppf(0.975) * values.std(ddof=1) / math.sqrt(values.size)
    assert ends(mean_interval(values)) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-12)


def test_is_continuous_where_the_expansion_takes_over() -> None:
    n, variance = 400, 0.04
    # At 10⁶ jumps: n s² = 10⁶ κ².
    third = variance * math.sqrt(n * variance * n / (n - 1) / intervals._MAX_JUMPS)
    third = np.array([third * (1 - 1e-9), third * (1 + 1e-9)])
    low, high = intervals._shifted_gamma_limits(np.full(2, 0.5), np.full(2, variance), third, n, TAIL)
    assert low[0] == pytest.approx(low[1], abs=1e-8)
    assert high[0] == pytest.approx(high[1], abs=1e-8)


@pytest.mark.parametrize("n", [2, 30, 1000, 50_000])
@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_equal_values_have_the_width_of_the_binomial_interval(value: float, n: int) -> None:
    low, high = ends(mean_interval(np.full(n, value)))
    width = 1 - 0.025 ** (1 / n)
    assert low == pytest.approx(value * (1 - width), abs=1e-12)
    assert high == pytest.approx(value + (1 - value) * width, abs=1e-12)
    assert high - low == pytest.approx(clopper_pearson(0, n)[1], rel=1e-9)


def test_rounding_errors_of_equal_values_count_as_equal() -> None:
    values = np.where(np.arange(60) % 2, 0.3, 0.1 + 0.2)
    assert values.std() > 0
    assert ends(mean_interval(values)) == pytest.approx(ends(mean_interval(np.full(60, 0.3))), abs=1e-12)


def test_one_image_has_the_bounds_as_its_interval() -> None:
    assert ends(mean_interval(np.ones(1))) == (0.0, 1.0)
    assert ends(mean_interval(np.ones(1), bounds=(-1.0, 3.0))) == (-1.0, 3.0)
    assert ends(mean_interval(np.ones(1), bounds=None)) == (-math.inf, math.inf)


fractions = st.integers(2, 60).flatmap(
    lambda n: arrays(np.float64, n, elements=st.sampled_from([0.0, 1 / 288, 0.25, 0.5, 0.9, 287 / 288, 1.0]))
)


levels = st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 0.9999, 1 - 1e-12])


# Properties for all values


@given(fractions, levels)
def test_lies_within_the_bounds_and_contains_the_mean(values: np.ndarray, level: float) -> None:
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


def test_accepts_values_that_exceed_the_bounds_by_rounding() -> None:
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
def test_rejects_invalid_arguments(values: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_interval(values, **options)


def test_is_narrow_for_narrow_distributions() -> None:
    rng = np.random.default_rng(0)
    values = rng.beta(200, 200, 50)
    low, high = ends(mean_interval(values))
    assert high - low < 1.1 * 2 * stats.t.ppf(0.975, 49) * values.std(ddof=1) / math.sqrt(50)


# Mean of unbounded values


def hall(mean: float, values: np.ndarray) -> np.ndarray:
    """Return Hall's transformation of the t statistic, as published."""
    n = values.shape[-1]
    centred = values - values.mean(axis=-1, keepdims=True)
    skewness = (centred**3).mean(axis=-1) / (centred**2).mean(axis=-1) ** 1.5 / math.sqrt(n)
    t = (values.mean(axis=-1) - mean) / (values.std(axis=-1, ddof=1) / math.sqrt(n))
    return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_halls_statistic_at_unbounded_limits_is_a_quantile_of_t(level: float) -> None:
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


def test_equal_unbounded_values_have_an_infinite_interval() -> None:
    assert ends(mean_interval(np.zeros(50), bounds=None)) == (-math.inf, math.inf)
    assert ends(mean_interval(np.full(50, 0.3), bounds=(0.0, math.inf))) == (0.0, math.inf)


def test_respects_a_single_bound() -> None:
    values = np.array([0.0] * 20 + [5.0])
    assert mean_interval(values, bounds=None).low < 0
    assert mean_interval(values, bounds=(0.0, math.inf)).low == 0


def test_importing_does_not_load_scipy() -> None:
    code = "import sys, cnnshift.stats.intervals; assert 'scipy' not in sys.modules and 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
