"""Differences over seeds: variance components, special cases, coverage; and required numbers of images and seeds."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy import integrate, stats

from cnnshift.stats.paired import p_value, paired_interval
from cnnshift.stats.sample_size import required_images, required_seeds
from cnnshift.stats.seeds import SeededDifference, seeded_difference, seeded_difference_unpaired
from cnnshift.stats.variance_components import MeanSquares, VariancePivot, mean_squares

TAIL = 0.025


def table(key: int, m: int, n: int, *, mean: float = 0.0, image: float = 0.1, seed: float = 0.1, rest: float = 0.1):
    rng = np.random.default_rng(key)
    effects = image * rng.normal(size=n) + seed * rng.normal(size=(m, 1)) + rest * rng.normal(size=(m, n))
    return np.clip(mean + effects, -1, 1)


def limits(found: SeededDifference) -> tuple[float, float]:
    return found.low, found.high


# Mean squares and components


def test_mean_squares_are_those_of_the_analysis_of_variance() -> None:
    x = table(0, 4, 30)
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
    total = ((x - mean) ** 2).sum()
    between = 30 * ((rows - mean) ** 2).sum()
    images = 4 * ((columns - mean) ** 2).sum()
    found = mean_squares(x)
    assert found.between_seeds == pytest.approx(between / 3)
    assert found.residual == pytest.approx((total - between - images) / (3 * 29))


def test_components_are_recovered_from_large_tables() -> None:
    found = seeded_difference(table(1, 60, 4000, image=0.2, seed=0.05, rest=0.1))
    assert found.image_sd == pytest.approx(0.2, rel=0.05)
    assert found.seed_sd == pytest.approx(0.05, rel=0.3)
    assert found.residual_sd == pytest.approx(0.1, rel=0.02)
    assert (found.images, found.seeds) == (4000, (60,))


def test_variances_of_two_groups_add_up() -> None:
    base, candidate = table(2, 60, 4000, seed=0.03, rest=0.1), table(3, 40, 4000, seed=0.04, rest=0.2)
    found = seeded_difference_unpaired(base, candidate)
    assert found.seed_sd == pytest.approx(0.05, rel=0.3)
    assert found.residual_sd == pytest.approx(math.hypot(0.1, 0.2), rel=0.02)
    assert found.image_sd == pytest.approx(math.hypot(0.1, 0.1), rel=0.05)
    assert found.value == pytest.approx(candidate.mean() - base.mean())
    assert found.seeds == (60, 40)


# Special cases of the interval


def test_half_width_is_that_of_students_t_if_only_runs_differ() -> None:
    for m in (2, 3, 10):
        pivot = VariancePivot(0.0, [MeanSquares(m, 0.5, 0.0)], 100)
        expected = stats.t.ppf(0.975, m - 1) * math.sqrt(0.5 / (100 * m))
        assert pivot.half_width(TAIL) == pytest.approx(expected, rel=1e-4)


def test_half_width_is_that_of_the_normal_distribution_if_runs_do_not_differ() -> None:
    pivot = VariancePivot(0.04, [MeanSquares(3, 0.0, 0.5)], 100)
    assert pivot.half_width(TAIL) == pytest.approx(stats.norm.ppf(0.975) * 0.2, rel=1e-9)
    assert pivot.run_half_width_squared(pivot.half_width(TAIL), TAIL) == pytest.approx(0.0, abs=1e-9)


def test_half_width_is_0_if_images_do_not_vary_and_runs_hardly_do() -> None:
    assert VariancePivot(0.0, [MeanSquares(2, 1e-30, 1.0)], 100).half_width(TAIL) == pytest.approx(0.0, abs=1e-12)


def test_half_width_is_infinite_beyond_1e9_standard_errors() -> None:
    # With m = 2 the run effect has the tail of a t distribution with one degree of freedom.
    assert VariancePivot(0.0, [MeanSquares(2, 1.0, 0.0)], 100).half_width(1e-12) == math.inf


@pytest.mark.parametrize("m", [2, 3, 6])
def test_the_sum_over_quantiles_approximates_the_integral(m: int) -> None:
    group, n = MeanSquares(m, 0.6, 0.3), 50
    pivot = VariancePivot(0.004, [group], n)

    def beyond(c: float, h: float) -> float:
        excess = max(0.0, (m - 1) * group.between_seeds / c - group.residual) / (n * m)
        return stats.norm.cdf(-h / math.sqrt(0.004 + excess)) * stats.chi2.pdf(c, m - 1)

    kink = (m - 1) * group.between_seeds / group.residual
    for h in (0.05, 0.2, 0.8):
        parts = [(0, 1e-3), (1e-3, 0.1), (0.1, kink), (kink, kink + 60)]
        expected = sum(integrate.quad(beyond, a, b, args=(h,))[0] for a, b in parts)
        assert pivot.tail_probability(h) == pytest.approx(expected, rel=0.01)


def test_a_group_that_does_not_vary_does_not_count() -> None:
    one = VariancePivot(0.01, [MeanSquares(3, 0.5, 0.1)], 100)
    two = VariancePivot(0.01, [MeanSquares(3, 0.5, 0.1), MeanSquares(4, 0.0, 0.2)], 100)
    assert two.half_width(TAIL) == pytest.approx(one.half_width(TAIL), rel=1e-9)


def test_equal_runs_have_the_interval_of_a_single_run() -> None:
    d = np.repeat([-1.0, 1.0, 0.0], [9, 2, 189])
    found = seeded_difference(np.tile(d, (3, 1)))
    alone = paired_interval(d)
    assert limits(found) == pytest.approx((alone.low, alone.high), rel=1e-9)
    assert found.p == pytest.approx(p_value(d), rel=1e-9)
    assert found.seed_sd == 0


# Properties for all tables

TABLES = [
    table(key, m, n, mean=mean, seed=seed)
    for key, (m, n, mean, seed) in enumerate(
        [(2, 50, -0.05, 0.0), (2, 200, 0.3, 0.05), (3, 100, -0.06, 0.02), (5, 300, 0.02, 0.0), (10, 50, -0.1, 0.1)]
    )
]


@pytest.mark.parametrize("x", TABLES)
def test_contains_the_mean_and_is_at_least_as_wide_as_over_images(x: np.ndarray) -> None:
    found = seeded_difference(x)
    assert found.value == pytest.approx(x.mean())
    assert -1 <= found.low <= found.image_low < found.value < found.image_high <= found.high <= 1
    alone = paired_interval(x.mean(axis=0))
    assert (found.image_low, found.image_high) == pytest.approx((alone.low, alone.high))
    assert found.p >= p_value(x.mean(axis=0))


@pytest.mark.parametrize("x", TABLES)
def test_changes_sign_and_scale_with_the_differences(x: np.ndarray) -> None:
    found, negated = seeded_difference(x), seeded_difference(-x)
    assert limits(negated) == pytest.approx((-found.high, -found.low), rel=1e-9)
    assert negated.p == pytest.approx(found.p, rel=1e-9)
    scaled = seeded_difference(40 * x, bounds=(-40.0, 40.0))
    assert limits(scaled) == pytest.approx((40 * found.low, 40 * found.high), rel=1e-6)


@pytest.mark.parametrize("x", TABLES)
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), None])
def test_interval_at_level_1_minus_p_ends_at_0(x: np.ndarray, bounds: tuple[float, float] | None) -> None:
    found = seeded_difference(x, bounds=bounds)
    assert (found.p <= 0.05) == (found.low > 0 or found.high < 0)
    for factor, contained in ((1.001, False), (0.999, True)):
        if found.p * factor < 1:
            low, high = limits(seeded_difference(x, bounds=bounds, level=1 - found.p * factor))
            assert (low <= 0 <= high) == contained


def test_two_groups_change_sign_with_their_order() -> None:
    base, candidate = table(7, 3, 100), table(8, 2, 100, mean=0.1)
    found, negated = seeded_difference_unpaired(base, candidate), seeded_difference_unpaired(candidate, base)
    assert limits(negated) == pytest.approx((-found.high, -found.low), rel=1e-9)
    assert found.p == pytest.approx(negated.p, rel=1e-6)


def test_equal_tables_and_tables_of_equal_images() -> None:
    zero = seeded_difference(np.zeros((2, 100)))
    assert zero.p == 1.0
    assert zero.low < 0 < zero.high
    runs = seeded_difference(np.repeat([[0.1], [0.2], [0.15]], 50, axis=1))
    assert runs.low < 0.15 - stats.t.ppf(0.975, 2) * 0.05 / math.sqrt(3) < 0.15 < runs.high
    unknown = seeded_difference(np.zeros((2, 100)), bounds=None)
    assert limits(unknown) == (-math.inf, math.inf)
    assert unknown.p == 1.0


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 50)), r"differences has shape \(1, 50\)"),
        (np.zeros((3, 1)), "at least two of each"),
        (np.array([[0.0, np.nan], [0.0, 1.0]]), "1 of 4 values of differences are not finite"),
        (np.full((2, 10), 1.5), "within"),
    ],
)
def test_rejects_invalid_tables(x: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seeded_difference(x)


def test_rejects_groups_with_different_images() -> None:
    # In tests, the check of shapes comes first.
    with pytest.raises((ValueError, TypeCheckError), match=r"must be the same|parameter"):
        seeded_difference_unpaired(np.zeros((2, 10)), np.zeros((2, 11)))
    with pytest.raises(ValueError, match="candidate has shape"):
        seeded_difference_unpaired(np.zeros((2, 10)), np.zeros((1, 10)))


# Coverage


@pytest.mark.parametrize("m", [2, 3, 5, 10])
@pytest.mark.parametrize("seed_part", [0.0, 0.5, 3.0, 30.0])
def test_coverage_of_normal_effects_is_at_least_93_percent(m: int, seed_part: float) -> None:
    """Draw mean squares with the distribution for normal effects; `seed_part` is σ_S² / m in units of V_I."""
    samples, n = 400, 200
    rng = np.random.default_rng([m, int(10 * seed_part)])
    for share in (0.1, 0.9):
        # Of V_I = 1, the share that is residual.
        images = rng.chisquare(n - 1, samples) / (n - 1)
        freedom = (m - 1) * (n - 1)
        residual = m * n * share * rng.chisquare(freedom, samples) / freedom
        between = m * n * (share + seed_part) * rng.chisquare(m - 1, samples) / (m - 1)
        error = np.abs(rng.normal(size=samples)) * math.sqrt(1 + seed_part)
        held = [
            VariancePivot(i, [MeanSquares(m, b, r)], n).tail_probability(e) >= TAIL
            for i, b, r, e in zip(images.tolist(), between.tolist(), residual.tolist(), error.tolist(), strict=True)
        ]
        # Three standard errors of 400 samples at 95 % are 0.033; the coverage is at least 0.945.
        assert np.mean(held) >= 0.92, share


def test_coverage_over_images_alone_is_too_low_if_runs_differ() -> None:
    held = np.zeros(2)
    for key in range(100):
        found = seeded_difference(table(key, 3, 100, mean=-0.05, seed=0.1))
        held += [found.low <= -0.05 <= found.high, found.image_low <= -0.05 <= found.image_high]
    assert held[0] >= 92
    assert held[1] <= 60


# Required numbers


@pytest.mark.parametrize(("n", "p", "needed"), [(500, 0.2, 0.05), (100, 0.5, 0.05 / 28), (1000, 0.0501, 0.05)])
def test_required_images_follow_the_square_of_z(n: int, p: float, needed: float) -> None:
    z, z_needed = stats.norm.isf(p / 2), stats.norm.isf(needed / 2)
    found = required_images(n, p, needed)
    assert found == max(n + 1, math.ceil(n * (z_needed / z) ** 2))


def test_required_images_of_a_significant_difference_are_the_present_ones() -> None:
    assert required_images(100, 0.04) == 100
    assert required_images(100, 0.04, 0.01) > 100
    assert required_images(100, 1.0) is None


def test_required_images_make_an_unchanged_difference_significant() -> None:
    d = np.repeat([-1.0, 1.0, 0.0], [8, 4, 188])
    assert paired_interval(d).high > 0
    needed = required_images(d.size, p_value(d))
    assert needed is not None
    repeats = math.ceil(needed / d.size)
    assert paired_interval(np.tile(d, repeats)).high < 0


@pytest.mark.parametrize("arguments", [(0, 0.5), (10, 1.5), (10, 0.5, 0.0)])
def test_required_images_rejects_values_that_are_not_p_values(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="p-values between 0 and 1"):
        required_images(*arguments)


def planned(**changes: object) -> SeededDifference:
    found = SeededDifference(
        value=-0.02, low=-0.06, high=0.02, p=0.2, image_low=-0.03, image_high=-0.01, image_sd=0.1, seed_sd=0.01,
        residual_sd=0.1, images=400, seeds=(2,), level=0.95,
    )  # fmt: skip
    return dataclasses.replace(found, **changes)  # pyright: ignore[reportArgumentType]


def test_required_seeds_are_the_smallest_number_that_suffices() -> None:
    found = planned()

    def half_width(m: int) -> float:
        images = 0.01**2 * (0.1**2 + 0.1**2 / m) / (0.1**2 + 0.1**2 / 2)
        return math.sqrt(images + stats.t.ppf(0.975, m - 1) ** 2 * 0.01**2 / m)

    needed = required_seeds(found)
    assert needed is not None
    assert half_width(needed) <= 0.02 < half_width(needed - 1)


def test_required_seeds_are_none_if_no_number_suffices() -> None:
    assert required_seeds(planned(image_high=0.01, residual_sd=0.0)) is None
    assert required_seeds(planned(value=0.0)) is None
    assert required_seeds(planned(image_high=math.inf)) is None
    assert required_seeds(planned(value=-0.0101, residual_sd=0.0, seed_sd=0.5, image_high=-0.0002)) is None


def test_required_seeds_are_more_than_the_present_ones() -> None:
    assert required_seeds(planned(seed_sd=0.0)) == 3
