"""Paired differences: closed forms, invariances, agreement of interval and p-value, and coverage."""

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
from jaxtyping import TypeCheckError
from scipy import stats

from cnnshift.stats import paired
from cnnshift.stats.intervals import Interval, mean_interval
from cnnshift.stats.mcnemar import mcnemar
from cnnshift.stats.mover import GainsAndLosses, mover_interval, mover_limits, split_gains_and_losses
from cnnshift.stats.paired import p_value, paired_interval

TAIL = 0.025


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def outcomes(gained: int, lost: int, n: int) -> np.ndarray:
    return np.repeat([1.0, -1.0, 0.0], [gained, lost, n - gained - lost])


differences = st.integers(2, 60).flatmap(
    lambda n: arrays(np.float64, n, elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0, -1 / 288, 0.25, -0.5]))
)
levels = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.9999, 1 - 1e-12])


# Closed forms


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("gained", "lost", "n"), [(1, 0, 50), (2, 3, 100), (0, 6, 200), (12, 5, 500)])
def test_is_mover_of_two_clopper_pearson_intervals(gained: int, lost: int, n: int, level: float) -> None:
    (l1, u1), (l2, u2) = (stats.binomtest(k, n).proportion_ci(level, method="exact")[:2] for k in (gained, lost))
    p, q = gained / n, lost / n
    varies = gained * lost > 0
    r = -math.sqrt(p * q / ((1 - p) * (1 - q))) if varies else 0.0
    low = p - q - math.sqrt((p - l1) ** 2 + (u2 - q) ** 2 - 2 * r * (p - l1) * (u2 - q))
    high = p - q + math.sqrt((u1 - p) ** 2 + (q - l2) ** 2 - 2 * r * (u1 - p) * (q - l2))
    interval = paired_interval(outcomes(gained, lost, n), level=level)
    assert ends(interval) == pytest.approx((low, high), rel=1e-9)
    assert interval.method == "MOVER of gains and losses"


@pytest.mark.parametrize("n", [2, 50, 1000])
def test_width_if_no_image_differs(n: int) -> None:
    half = 1 - 0.025 ** (1 / n)
    assert ends(paired_interval(np.zeros(n))) == pytest.approx((-half, half), rel=1e-9)
    assert p_value(np.zeros(n)) == 1.0


def test_is_close_to_the_z_interval_for_many_large_differences() -> None:
    d = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], size=20_000, p=[0.3, 0.45, 0.25])
    half = stats.norm.ppf(0.975) * d.std(ddof=1) / math.sqrt(d.size)
    assert ends(paired_interval(d)) == pytest.approx((d.mean() - half, d.mean() + half), abs=0.01 * half)
    assert p_value(d[:2000]) == pytest.approx(stats.ttest_1samp(d[:2000], 0).pvalue, rel=0.05)


def test_one_image_has_the_bounds_as_its_interval() -> None:
    assert ends(paired_interval(np.array([0.3]), bounds=(-2.0, 2.0))) == (-2.0, 2.0)
    assert ends(paired_interval(np.array([0.3]), bounds=None)) == (-math.inf, math.inf)
    assert p_value(np.array([1.0])) == 1.0


# Properties for all differences


@given(differences, levels)
def test_lies_within_the_bounds_and_contains_the_mean(d: np.ndarray, level: float) -> None:
    low, high = ends(paired_interval(d, level=level))
    assert -1 <= low <= d.mean() <= high <= 1
    assert low < high


@given(differences)
def test_grows_strictly_with_the_level(d: np.ndarray) -> None:
    found = [ends(paired_interval(d, level=level)) for level in (0.5, 0.9, 0.95, 0.9999)]
    for (low, high), (lower, higher) in itertools.pairwise(found):
        assert lower < low or low == -1
        assert high < higher or high == 1


@given(differences, levels)
def test_changes_sign_and_scale_with_the_differences(d: np.ndarray, level: float) -> None:
    low, high = ends(paired_interval(d, level=level))
    assert ends(paired_interval(-d, level=level)) == (-high, -low)
    scaled = paired_interval(40 * d, bounds=(-40.0, 40.0), level=level)
    assert ends(scaled) == pytest.approx((40 * low, 40 * high), abs=1e-9)
    assert p_value(-d) == pytest.approx(p_value(d), rel=1e-9)
    assert p_value(40 * d, bounds=(-40.0, 40.0)) == pytest.approx(p_value(d), rel=1e-6)


@given(differences)
def test_interval_at_level_1_minus_p_ends_at_0(d: np.ndarray) -> None:
    p = p_value(d)
    assert 0 < p <= 1
    if 1e-12 < p < 1:
        for level, contained in ((1 - p * (1 + 1e-3), False), (1 - p * (1 - 1e-3), True)):
            if 0 < level < 1:
                low, high = ends(paired_interval(d, level=level))
                assert (low <= 0 <= high) == contained
    low, high = ends(paired_interval(d))
    assert (p <= 0.05) == (low > 0 or high < 0)


def test_shrinks_with_the_number_of_images() -> None:
    for share in (0.0, 0.02, 0.2):
        widths = []
        for n in (50, 100, 1000, 10_000):
            low, high = ends(paired_interval(outcomes(0, int(share * n), n)))
            widths.append(high - low)
        assert widths == sorted(widths, reverse=True)
        assert widths[-1] < 0.1 * widths[0]


def test_does_not_depend_on_the_type_of_the_differences() -> None:
    d = outcomes(3, 7, 100)
    assert paired_interval(d.astype(np.int8)) == paired_interval(d)
    assert paired_interval(d.astype(np.float32)) == paired_interval(d)


def test_p_value_has_a_minimum() -> None:
    assert p_value(np.ones(1000)) == paired.MIN_P_VALUE


@pytest.mark.parametrize(
    ("d", "options", "message"),
    [
        (np.array([]), {}, "at least one"),
        (np.array([0.5, np.nan]), {}, "1 of 2 differences are not finite"),
        (np.array([0.5, 1.1]), {}, "within"),
        (np.array([0.5, 0.1]), {"bounds": (0.0, 1.0)}, "-w and w"),
        (np.array([0.5, 0.1]), {"bounds": (-math.inf, math.inf)}, "finite, or None"),
    ],
)
def test_rejects_invalid_arguments(d: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_interval(d, **options)
    with pytest.raises(ValueError, match=message):
        p_value(d, **options)


def test_rejects_invalid_levels() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired_interval(np.zeros(5), level=1.0)


# Differences without bounds


def test_unbounded_interval_is_that_of_mean_interval() -> None:
    d = np.random.default_rng(0).gamma(2.0, size=40) - 1.4
    for level in (0.8, 0.95, 0.999):
        expected = ends(mean_interval(d, bounds=None, level=level))
        assert ends(paired_interval(d, bounds=None, level=level)) == pytest.approx(expected, rel=1e-12)
    p = p_value(d, bounds=None)
    assert mean_interval(d, bounds=None, level=1 - p).low == pytest.approx(0.0, abs=1e-9)
    assert p_value(1e6 * d, bounds=None) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("d", [(0.879, 0.916), (-0.02, -0.025), (0.1, 0.2, 0.3)])
def test_p_value_of_few_symmetric_unbounded_differences_is_that_of_the_t_test(d: tuple) -> None:
    assert p_value(np.array(d), bounds=None) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=1e-6)


def test_equal_unbounded_differences_have_an_infinite_interval() -> None:
    for value in (0.0, 0.3):
        assert ends(paired_interval(np.full(50, value), bounds=None)) == (-math.inf, math.inf)
        assert p_value(np.full(50, value), bounds=None) == 1.0


# Coverage


def bernoulli_moments(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return p, p * (1 - p), p * (1 - p) * (1 - 2 * p)


@pytest.mark.parametrize("n", [50, 100, 200, 1000])
def test_coverage_of_outcomes_is_at_least_94_percent(n: int) -> None:
    most = int(min(n, 0.2 * n + 6 * math.sqrt(0.2 * n) + 12))
    gained, lost = (grid.ravel() for grid in np.indices((most + 1, most + 1)))
    gained, lost = gained[gained + lost <= most], lost[gained + lost <= most]
    p, q = gained / n, lost / n
    product = np.sqrt(p * (1 - p) * q * (1 - q))
    correlation = np.where(product > 0, -p * q / np.where(product > 0, product, 1), 0.0)
    low, high = mover_limits(GainsAndLosses(bernoulli_moments(p), bernoulli_moments(q), correlation, n), TAIL)
    for rate in (0.005, 0.01, 0.02, 0.05, 0.08, 0.12, 0.2):
        differ = stats.binom.pmf(gained + lost, n, rate)
        for share in (0.5, 0.7, 0.9, 1.0):
            probability = differ * stats.binom.pmf(gained, gained + lost, share)
            mean = rate * (2 * share - 1)
            assert probability[(low <= mean) & (mean <= high)].sum() >= 0.94, (rate, share)
            assert probability[high < mean].sum() <= 0.03, (rate, share)
            if n * rate >= 100:
                assert probability[(low <= mean) & (mean <= high)].sum() <= 0.97, (rate, share)


@pytest.mark.parametrize("n", [50, 200])
@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.5, 2), (0.2, 0.8), (5, 1), (1, 50)])
def test_coverage_of_fractions_is_at_least_93_percent(n: int, a: float, b: float) -> None:
    for rate in (0.02, 0.2, 1.0):
        for share in (0.5, 0.8):
            rng = np.random.default_rng([n, int(100 * rate), int(10 * share)])
            shape = (2000, n)
            sign = np.where(rng.random(shape) < share, 1.0, -1.0)
            d = (rng.random(shape) < rate) * sign * rng.beta(a, b, shape)
            low, high = mover_limits(split_gains_and_losses(d), TAIL)
            mean = rate * (2 * share - 1) * a / (a + b)
            assert ((low <= mean) & (mean <= high)).mean() >= 0.93, (rate, share)


def test_coverage_of_small_differences_with_rare_large_ones() -> None:
    rng = np.random.default_rng(0)
    d = np.where(rng.random((4000, 100)) < 0.01, -0.9, 0.02 * rng.normal(size=(4000, 100)))
    low, high = mover_limits(split_gains_and_losses(d), TAIL)
    assert ((low <= -0.009) & (high >= -0.009)).mean() >= 0.93


# McNemar's test


@pytest.mark.parametrize(("gained", "lost"), [(0, 1), (5, 0), (0, 6), (3, 9), (9, 3), (7, 7), (40, 70), (1, 1200)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_images(gained: int, lost: int) -> None:
    d = outcomes(gained, lost, gained + lost + 30)
    base = np.where(d == 0, np.arange(d.size) % 2, d < 0)
    p = mcnemar(base, base + d)
    assert p == pytest.approx(stats.binomtest(gained, gained + lost).pvalue, rel=1e-9)


def test_mcnemar_of_equal_outcomes_is_1() -> None:
    outcome = np.arange(20) % 2 == 0
    assert mcnemar(outcome, outcome) == 1.0
    assert mcnemar(np.array([], dtype=bool), np.array([], dtype=bool)) == 1.0


def test_mcnemar_rejects_other_shapes_and_values() -> None:
    # In tests, the check of shapes comes first.
    with pytest.raises((ValueError, TypeCheckError), match=r"shape|parameter"):
        mcnemar(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="0 and 1"):
        mcnemar(np.array([0.5, 1.0]), np.array([0.0, 1.0]))


# Two independent estimates


def test_mover_interval_adds_squares_and_changes_sign_with_the_order() -> None:
    a, b = (0.5, 0.2, 0.9), (0.3, 0.26, 0.33)
    low, high = ends(mover_interval(a, b))
    assert (low, high) == pytest.approx((0.2 - math.hypot(0.3, 0.03), 0.2 + math.hypot(0.4, 0.04)))
    assert ends(mover_interval(b, a)) == pytest.approx((-high, -low))
    assert mover_interval((0.5, -math.inf, 0.6), b).low == -math.inf


@pytest.mark.parametrize("a", [(math.nan, 0.0, 1.0), (0.5, 0.6, 0.7), (math.inf, 0.0, math.inf)])
def test_mover_interval_rejects_values_outside_their_limits(a: tuple) -> None:
    with pytest.raises(ValueError, match="finite and between"):
        mover_interval(a, (0.5, 0.4, 0.6))


def test_importing_does_not_load_scipy() -> None:
    names = ("paired", "seeds", "holm", "mcnemar", "mover", "sample_size")
    imports = ", ".join(f"cnnshift.stats.{name}" for name in names)
    code = f"import sys, {imports}; assert 'scipy' not in sys.modules and 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_computing_loads_only_the_special_functions_of_scipy() -> None:
    code = (
        "import sys, numpy as np\n"
        "from cnnshift.stats import mcnemar, paired, sample_size, seeds\n"
        "d = np.repeat([-1.0, 0.0], [3, 40])\n"
        "paired.p_value(d), paired.p_value(d, bounds=None), mcnemar.mcnemar(d < 0, d > 0)\n"
        "sample_size.required_seeds(seeds.seeded_difference(np.stack([d, d[::-1]])))\n"
        "assert 'scipy.special' in sys.modules\n"
        "slow = {'scipy.stats', 'scipy.optimize', 'scipy.linalg', 'jax'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
