"""Differences of one metric, checked against independent computations."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from cnnshift.comparison.difference import metric_difference
from cnnshift.stats.paired import p_value, paired_interval
from tests.comparing import against, only, rng
from tests.factories import make_outcomes, make_run, make_summary


def test_images_are_paired():
    before, after = rng(0).random(60), rng(1).random(60)
    found = metric_difference([make_run({"mac": before})], [make_run({"mac": after})], "mac")
    d = np.float32(after).astype(float) - np.float32(before)
    assert found.difference == pytest.approx(d.mean(), abs=1e-12)
    assert (found.baseline_value, found.candidate_value) == pytest.approx((before.mean(), after.mean()), abs=1e-7)
    interval = paired_interval(d, bounds=(-1.0, 1.0))
    assert found.ci95 == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert found.p == pytest.approx(p_value(d, bounds=(-1.0, 1.0)), rel=1e-6)
    assert (found.n, found.seeds, found.seed_sd) == (60, (1, 1), None)


def test_pairing_is_by_image_and_not_by_order_of_values():
    values = rng(0).random(100)
    noise = 0.01 * rng(1).random(100)
    paired = metric_difference([make_run({"mac": values * 0.9})], [make_run({"mac": values * 0.9 + noise})], "mac")
    shuffled = metric_difference(
        [make_run({"mac": values * 0.9})], [make_run({"mac": rng(2).permutation(values)})], "mac"
    )
    assert paired.ci95[1] - paired.ci95[0] < 0.5 * (shuffled.ci95[1] - shuffled.ci95[0])


def test_a_large_sample_agrees_with_the_t_test():
    before = rng(0).random(2000)
    after = np.clip(before + rng(1).normal(0.01, 0.2, 2000), 0, 1)
    found = metric_difference([make_run({"mac": before})], [make_run({"mac": after})], "mac")
    t = stats.ttest_rel(after, before)
    limits = t.confidence_interval(0.95)
    assert found.ci95 == pytest.approx((limits.low, limits.high), abs=0.15 * (limits.high - limits.low))
    assert found.p == pytest.approx(t.pvalue, rel=0.5, abs=0.02)


def test_a_metric_without_bounds_agrees_with_the_t_test():
    before, extra = rng(0).gamma(2.0, size=500), rng(1).normal(0.05, 0.3, 500)
    runs = [[make_run({"sensitivity": values})] for values in (before + 5, before + 5 + extra)]
    found = metric_difference(*runs, "sensitivity")
    t = stats.ttest_1samp(extra, 0)
    limits = t.confidence_interval(0.95)
    assert found.ci95 == pytest.approx((limits.low, limits.high), abs=0.03 * (limits.high - limits.low))
    assert found.p == pytest.approx(t.pvalue, rel=0.1)


def test_the_p_value_of_outcomes_is_at_least_that_of_mcnemar():
    before, after = make_outcomes(150), make_outcomes(150)
    after[:9] = 0
    after[150:152] = 1
    found = metric_difference([make_run({"accuracy": before})], [make_run({"accuracy": after})], "accuracy")
    exact = stats.binomtest(2, 11).pvalue
    assert exact > p_value(after - before)
    assert found.p == pytest.approx(exact)
    assert "McNemar" in found.method
    assert found.difference == pytest.approx(-7 / 200)


def test_mcnemar_does_not_apply_to_other_values():
    values = make_outcomes(50, 100)
    values[0] = 0.5
    found = metric_difference([make_run({"mac": values})], [make_run({"mac": make_outcomes(60, 100)})], "mac")
    assert "McNemar" not in found.method


def test_images_that_are_not_counted_on_one_side():
    before, after = rng(0).random(400), rng(1).random(400)
    before[:150] = np.nan
    after[100:220] = np.nan
    runs = [[make_run({"conditional_consistency": values})] for values in (before, after)]
    found = metric_difference(*runs, "conditional_consistency")
    value = np.nanmean(after) - np.nanmean(before)
    assert found.difference == pytest.approx(value, abs=1e-7)
    # The standard error of the difference by the jackknife.
    left_out = [
        np.nanmean(np.delete(after, image)) - np.nanmean(np.delete(before, image)) for image in range(before.size)
    ]
    error = math.sqrt(399 * np.var(left_out))
    assert found.ci95 == pytest.approx((value - 1.96 * error, value + 1.96 * error), abs=0.05 * error)


def test_runs_of_the_same_seeds_are_paired():
    base, extra = rng(0).random((3, 80)) * 0.8, rng(1).random((3, 80)) * 0.1
    shift = np.array([[0.02], [0.05], [0.08]])
    before = [make_run({"mac": row}, seed=seed) for seed, row in enumerate(base)]
    after = [make_run({"mac": row}, seed=seed) for seed, row in enumerate(base + extra + shift)]
    found = metric_difference(before, after[::-1], "mac")
    per_seed = (extra + shift).mean(axis=1)
    assert found.difference == pytest.approx(per_seed.mean(), abs=1e-7)
    assert found.seeds == (3, 3)
    # σ_S² from the mean squares of a two-way layout.
    table = extra + shift
    residual = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    mean_square = (residual**2).sum() / (2 * 79)
    assert found.seed_sd == pytest.approx(math.sqrt(per_seed.var(ddof=1) - mean_square / 80), rel=1e-4)
    # Paired by seed, the networks differ little; otherwise they differ much.
    renumbered = [run.model_copy(update={"seed": run.seed + 10}) for run in after]
    unpaired = metric_difference(before, renumbered, "mac")
    assert unpaired.difference == pytest.approx(found.difference)
    assert found.ci95[0] < 0.05 < found.ci95[1]
    assert unpaired.seed_sd != found.seed_sd


def test_the_numbers_of_seeds_may_differ():
    before = [make_run({"mac": rng(seed).random(50)}, seed=seed) for seed in range(2)]
    after = [make_run({"mac": rng(9 + seed).random(50)}, seed=seed) for seed in range(3)]
    found = metric_difference(before, after, "mac")
    values = [np.mean([run.metric("mac").value for run in runs]) for runs in (before, after)]
    assert found.difference == pytest.approx(values[1] - values[0], abs=1e-7)
    assert found.seeds == (2, 3)
    single = metric_difference(before, after[:1], "mac")
    assert (single.seeds, single.seed_sd) == ((2, 1), None)
    assert single.ci95 is not None


def test_a_metric_without_per_image_values_is_not_paired():
    before, after = make_summary("kappa", 0.8, 0.03), make_summary("kappa", 0.7, 0.04)
    found = metric_difference([make_run({"kappa": before})], [make_run({"kappa": after})], "kappa")
    half = math.hypot(0.03, 0.04)
    assert found.ci95 == pytest.approx((-0.1 - half, -0.1 + half))
    assert found.p == pytest.approx(2 * stats.norm.sf(0.1 / half * stats.norm.isf(0.025)))
    assert "not paired" in found.method


def test_the_p_value_depends_on_the_half_width_towards_0():
    lopsided = {
        "kappa": make_summary(
            "kappa",
            0.6,
            0.0,
        ).model_copy(update={"ci95": (0.55, 0.8)})
    }
    for value in (0.5, 0.7):
        other = {"kappa": make_summary("kappa", value, 0.0)}
        found = metric_difference([make_run(other)], [make_run(lopsided)], "kappa")
        half = 0.05 if value < 0.6 else 0.2
        assert found.p == pytest.approx(2 * stats.norm.sf(0.1 / half * stats.norm.isf(0.025)), rel=1e-6)
        assert (found.p < 0.05) == (found.ci95[0] > 0 or found.ci95[1] < 0)


def test_the_error_over_seeds_is_added_without_per_image_values():
    before = [make_run({"kappa": make_summary("kappa", v, 0.01)}, seed=s) for s, v in enumerate((0.8, 0.82, 0.84))]
    after = [make_run({"kappa": make_summary("kappa", v, 0.01)}, seed=s) for s, v in enumerate((0.7, 0.76, 0.7))]
    found = metric_difference(before, after, "kappa")
    errors = [stats.t.isf(0.025, 2) * np.std(v, ddof=1) / 3**0.5 for v in ((0.8, 0.82, 0.84), (0.7, 0.76, 0.7))]
    half = math.sqrt(sum(error**2 + 0.01**2 for error in errors))
    assert found.ci95 == pytest.approx((found.difference - half, found.difference + half))


def test_without_an_interval_there_is_no_p_value():
    one = make_summary("kappa", 0.8).model_copy(update={"ci95": None})
    found = metric_difference([make_run({"kappa": one})], [make_run({"kappa": make_summary("kappa", 0.7)})], "kappa")
    assert (found.ci95, found.p) == (None, None)
    row = only(against(make_run({"kappa": one}), make_run({"kappa": make_summary("kappa", 0.7)})))
    assert row.verdict == "inconclusive"
    assert (row.p_holm, row.images_needed) == (None, None)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_images(n):
    found = metric_difference([make_run({"accuracy": np.ones(n)})], [make_run({"accuracy": np.zeros(n)})], "accuracy")
    assert found.difference == -1
    assert found.ci95[0] <= -1 <= found.ci95[1]
    seeds = [[make_run({"accuracy": np.full(n, v)}, seed=s) for s in range(2)] for v in (1.0, 0.0)]
    assert metric_difference(*seeds, "accuracy").difference == -1


@pytest.mark.parametrize("value", [1e-320, 1e-160, 1e-40, 1e-12, 1e30])
def test_extreme_differences_do_not_overflow(value):
    half = max(1.0, value)
    without = [
        [make_run({"normalized_variance": make_summary("normalized_variance", one, half)})] for one in (0.0, value)
    ]
    paired = [[make_run({"sensitivity": np.eye(20)[0] * one})] for one in (0.0, value)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric_difference(*without, "normalized_variance").ci95 is not None
        assert metric_difference(*paired, "sensitivity").difference == pytest.approx(value / 20, rel=1e-6)
