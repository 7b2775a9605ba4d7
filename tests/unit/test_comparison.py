"""What a comparison finds: differences against plain computations, verdicts at their limits, matching, statuses."""

import itertools
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cnnshift.comparison.api import compare
from cnnshift.comparison.compare import compare_models, compare_results
from cnnshift.comparison.difference import difference
from cnnshift.comparison.gates import resolve_policy
from cnnshift.comparison.verdicts import Tolerance, _verdict
from cnnshift.errors import InputError
from cnnshift.registry import METRICS
from cnnshift.render.documents.comparison import comparison_document
from cnnshift.results.files import save_result
from cnnshift.stats.holm import holm
from cnnshift.stats.paired import p_value, paired_interval
from tests.factories import make_metric, make_outcomes, make_result, make_run, make_summary

OLD = Path(__file__).parents[1] / "data" / "result-version-1.json"


def rng(seed=0):
    return np.random.default_rng(seed)


def against(base, candidate, *, gates=(), require=(), inconclusive=None, exact=False, **tolerance):
    """Compare two results, or two runs."""
    two = {
        name: one if hasattr(one, "runs") else make_result(one)
        for name, one in {"base.json": base, "new.json": candidate}.items()
    }
    policy = resolve_policy(gates, require, inconclusive, project=Path("none.toml"))
    return compare_results(two, policy, tolerance=Tolerance(**tolerance), exact=exact)


def among(result, *, gates=(), require=(), inconclusive=None, reference=None, **tolerance):
    policy = resolve_policy(gates, require, inconclusive, project=Path("none.toml"))
    return compare_models("r.json", result, policy, reference=reference, tolerance=Tolerance(**tolerance))


def only(comparison):
    (row,) = comparison.rows
    return row


def advice(comparison):
    return comparison_document(comparison).closing[-1]


# ---------------------------------------------------------------------------------------------------------------------
# Differences
# ---------------------------------------------------------------------------------------------------------------------


def test_images_are_paired():
    before, after = rng(0).random(60), rng(1).random(60)
    found = difference([make_run({"mac": before})], [make_run({"mac": after})], "mac")
    d = np.float32(after).astype(float) - np.float32(before)
    assert found.value == pytest.approx(d.mean(), abs=1e-12)
    assert (found.base, found.candidate) == pytest.approx((before.mean(), after.mean()), abs=1e-7)
    interval = paired_interval(d, bounds=(-1.0, 1.0))
    assert found.ci95 == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert found.p == pytest.approx(p_value(d, bounds=(-1.0, 1.0)), rel=1e-6)
    assert (found.n, found.seeds, found.seed_sd) == (60, (1, 1), None)


def test_pairing_is_by_image_and_not_by_order_of_values():
    values = rng(0).random(100)
    noise = 0.01 * rng(1).random(100)
    paired = difference([make_run({"mac": values * 0.9})], [make_run({"mac": values * 0.9 + noise})], "mac")
    shuffled = difference([make_run({"mac": values * 0.9})], [make_run({"mac": rng(2).permutation(values)})], "mac")
    assert paired.ci95[1] - paired.ci95[0] < 0.5 * (shuffled.ci95[1] - shuffled.ci95[0])


def test_a_large_sample_agrees_with_the_t_test():
    before = rng(0).random(2000)
    after = np.clip(before + rng(1).normal(0.01, 0.2, 2000), 0, 1)
    found = difference([make_run({"mac": before})], [make_run({"mac": after})], "mac")
    t = stats.ttest_rel(after, before)
    limits = t.confidence_interval(0.95)
    assert found.ci95 == pytest.approx((limits.low, limits.high), abs=0.15 * (limits.high - limits.low))
    assert found.p == pytest.approx(t.pvalue, rel=0.5, abs=0.02)


def test_a_metric_without_bounds_agrees_with_the_t_test():
    before, extra = rng(0).gamma(2.0, size=500), rng(1).normal(0.05, 0.3, 500)
    runs = [[make_run({"sensitivity": values})] for values in (before + 5, before + 5 + extra)]
    found = difference(*runs, "sensitivity")
    t = stats.ttest_1samp(extra, 0)
    limits = t.confidence_interval(0.95)
    assert found.ci95 == pytest.approx((limits.low, limits.high), abs=0.03 * (limits.high - limits.low))
    assert found.p == pytest.approx(t.pvalue, rel=0.1)


def test_mcnemar_limits_the_p_of_outcomes():
    before, after = make_outcomes(150), make_outcomes(150)
    after[:9] = 0
    after[150:152] = 1
    found = difference([make_run({"accuracy": before})], [make_run({"accuracy": after})], "accuracy")
    exact = stats.binomtest(2, 11).pvalue
    assert exact > p_value(after - before)
    assert found.p == pytest.approx(exact)
    assert "McNemar" in found.method
    assert found.value == pytest.approx(-7 / 200)


def test_mcnemar_is_not_for_other_values():
    values = make_outcomes(50, 100)
    values[0] = 0.5
    found = difference([make_run({"mac": values})], [make_run({"mac": make_outcomes(60, 100)})], "mac")
    assert "McNemar" not in found.method


def test_images_that_do_not_count_on_one_side():
    before, after = rng(0).random(400), rng(1).random(400)
    before[:150] = np.nan
    after[100:220] = np.nan
    runs = [[make_run({"conditional_consistency": values})] for values in (before, after)]
    found = difference(*runs, "conditional_consistency")
    value = np.nanmean(after) - np.nanmean(before)
    assert found.value == pytest.approx(value, abs=1e-7)
    # The error of a difference of two means over other images, by leaving out one image at a time.
    left_out = [
        np.nanmean(np.delete(after, image)) - np.nanmean(np.delete(before, image)) for image in range(before.size)
    ]
    error = math.sqrt(399 * np.var(left_out))
    assert found.ci95 == pytest.approx((value - 1.96 * error, value + 1.96 * error), abs=0.05 * error)


def test_seeds_that_are_paired_by_number():
    base, extra = rng(0).random((3, 80)) * 0.8, rng(1).random((3, 80)) * 0.1
    shift = np.array([[0.02], [0.05], [0.08]])
    before = [make_run({"mac": row}, seed=seed) for seed, row in enumerate(base)]
    after = [make_run({"mac": row}, seed=seed) for seed, row in enumerate(base + extra + shift)]
    found = difference(before, after[::-1], "mac")
    per_seed = (extra + shift).mean(axis=1)
    assert found.value == pytest.approx(per_seed.mean(), abs=1e-7)
    assert found.seeds == (3, 3)
    # σ_S² from the mean squares of a two-way layout.
    table = extra + shift
    residual = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    mean_square = (residual**2).sum() / (2 * 79)
    assert found.seed_sd == pytest.approx(math.sqrt(per_seed.var(ddof=1) - mean_square / 80), rel=1e-4)
    # Each network differs from its own predecessor by little, and from the others' by much.
    renumbered = [run.model_copy(update={"seed": run.seed + 10}) for run in after]
    unpaired = difference(before, renumbered, "mac")
    assert unpaired.value == pytest.approx(found.value)
    assert found.ci95[0] < 0.05 < found.ci95[1]
    assert unpaired.seed_sd != found.seed_sd


def test_numbers_of_seeds_may_differ():
    before = [make_run({"mac": rng(seed).random(50)}, seed=seed) for seed in range(2)]
    after = [make_run({"mac": rng(9 + seed).random(50)}, seed=seed) for seed in range(3)]
    found = difference(before, after, "mac")
    values = [np.mean([run.metric("mac").value for run in runs]) for runs in (before, after)]
    assert found.value == pytest.approx(values[1] - values[0], abs=1e-7)
    assert found.seeds == (2, 3)
    single = difference(before, after[:1], "mac")
    assert (single.seeds, single.seed_sd) == ((2, 1), None)
    assert single.ci95 is not None


def test_a_metric_without_values_per_image_is_not_paired():
    before, after = make_summary("kappa", 0.8, 0.03), make_summary("kappa", 0.7, 0.04)
    found = difference([make_run({"kappa": before})], [make_run({"kappa": after})], "kappa")
    half = math.hypot(0.03, 0.04)
    assert found.ci95 == pytest.approx((-0.1 - half, -0.1 + half))
    assert found.p == pytest.approx(2 * stats.norm.sf(0.1 / half * stats.norm.isf(0.025)))
    assert "not paired" in found.method


def test_the_side_of_the_interval_towards_0_makes_the_p():
    lopsided = {
        "kappa": make_summary(
            "kappa",
            0.6,
            0.0,
        ).model_copy(update={"ci95": (0.55, 0.8)})
    }
    for value in (0.5, 0.7):
        other = {"kappa": make_summary("kappa", value, 0.0)}
        found = difference([make_run(other)], [make_run(lopsided)], "kappa")
        half = 0.05 if value < 0.6 else 0.2
        assert found.p == pytest.approx(2 * stats.norm.sf(0.1 / half * stats.norm.isf(0.025)), rel=1e-6)
        assert (found.p < 0.05) == (found.ci95[0] > 0 or found.ci95[1] < 0)


def test_seeds_without_values_per_image_add_their_error():
    before = [make_run({"kappa": make_summary("kappa", v, 0.01)}, seed=s) for s, v in enumerate((0.8, 0.82, 0.84))]
    after = [make_run({"kappa": make_summary("kappa", v, 0.01)}, seed=s) for s, v in enumerate((0.7, 0.76, 0.7))]
    found = difference(before, after, "kappa")
    errors = [stats.t.isf(0.025, 2) * np.std(v, ddof=1) / 3**0.5 for v in ((0.8, 0.82, 0.84), (0.7, 0.76, 0.7))]
    half = math.sqrt(sum(error**2 + 0.01**2 for error in errors))
    assert found.ci95 == pytest.approx((found.value - half, found.value + half))


def test_a_summary_without_an_interval_gives_none():
    one = make_summary("kappa", 0.8).model_copy(update={"ci95": None})
    found = difference([make_run({"kappa": one})], [make_run({"kappa": make_summary("kappa", 0.7)})], "kappa")
    assert (found.ci95, found.p) == (None, None)
    row = only(against(make_run({"kappa": one}), make_run({"kappa": make_summary("kappa", 0.7)})))
    assert row.verdict == "inconclusive"
    assert (row.p_holm, row.images_needed) == (None, None)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_images(n):
    found = difference([make_run({"accuracy": np.ones(n)})], [make_run({"accuracy": np.zeros(n)})], "accuracy")
    assert found.value == -1
    assert found.ci95[0] <= -1 <= found.ci95[1]
    seeds = [[make_run({"accuracy": np.full(n, v)}, seed=s) for s in range(2)] for v in (1.0, 0.0)]
    assert difference(*seeds, "accuracy").value == -1


@pytest.mark.parametrize("value", [1e-320, 1e-160, 1e-40, 1e-12, 1e30])
def test_extreme_differences_do_not_overflow(value):
    half = max(1.0, value)
    without = [
        [make_run({"normalized_variance": make_summary("normalized_variance", one, half)})] for one in (0.0, value)
    ]
    paired = [[make_run({"sensitivity": np.eye(20)[0] * one})] for one in (0.0, value)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert difference(*without, "normalized_variance").ci95 is not None
        assert difference(*paired, "sensitivity").value == pytest.approx(value / 20, rel=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Verdicts
# ---------------------------------------------------------------------------------------------------------------------


def of_outcomes(before, after, gates=("accuracy:1pp",), n=200, **options):
    return against(
        make_run({"accuracy": make_outcomes(before, n)}), make_run({"accuracy": make_outcomes(after, n)}),
        gates=gates, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "verdict", "status"),
    [
        (190, 190, "unchanged", "passed"),
        (190, 188, "unchanged", "passed"),  # exactly the margin
        (190, 192, "unchanged", "passed"),
        (190, 187, "inconclusive", "passed"),
        (190, 193, "inconclusive", "passed"),
        (190, 150, "regressed", "failed"),
        (150, 190, "improved", "passed"),
        # McNemar: 5 of 5 lost has p = 0.0625 and 6 of 6 has p = 0.031.
        (190, 185, "inconclusive", "passed"),
        (190, 184, "regressed", "failed"),
    ],
)
def test_verdicts(before, after, verdict, status):
    found = of_outcomes(before, after)
    assert only(found).verdict == verdict
    assert found.status == status
    assert only(found).margin == pytest.approx(0.01)


def test_a_margin_met_exactly_is_not_exceeded():
    # 0.4 − 0.3 is more than 0.1 in floating-point numbers.
    assert 0.4 - 0.3 > 0.1
    before, after = (make_run({"kappa": make_summary("kappa", value, 0.001)}) for value in (0.4, 0.3))
    assert only(against(before, after, gates=["kappa:0.1"])).verdict == "unchanged"
    assert only(against(before, after, gates=["kappa:0.0999999"])).verdict == "regressed"
    assert only(of_outcomes(60, 40, gates=["accuracy:10pp"])).verdict == "unchanged"
    assert only(of_outcomes(60, 39, gates=["accuracy:10pp"])).verdict == "regressed"


def test_a_margin_of_zero():
    assert only(of_outcomes(60, 60, gates=["accuracy:0"])).verdict == "unchanged"
    assert only(of_outcomes(60, 59, gates=["accuracy:0"])).verdict == "inconclusive"
    assert only(of_outcomes(60, 40, gates=["accuracy:0"])).verdict == "regressed"


@pytest.mark.parametrize(
    ("half", "verdict"), [(0.1 - 1e-9, "regressed"), (0.1, "inconclusive"), (0.1 + 1e-9, "inconclusive")]
)
def test_an_interval_that_touches_0_decides_nothing(half, verdict):
    # One side is known exactly: the interval of the difference is that of the other, and p = 0.05 where it touches 0.
    before = make_summary("kappa", 0.5, 0.0)
    after = make_summary("kappa", 0.4, half)
    row = only(against(make_run({"kappa": before}), make_run({"kappa": after}), gates=["kappa:0.01"]))
    assert row.p == pytest.approx(0.05, abs=1e-6)
    assert row.verdict == verdict


@pytest.mark.parametrize(
    ("p_holm", "ci95", "verdict"),
    [
        (0.05, (-0.4, -1e-9), "regressed"),
        (math.nextafter(0.05, 1), (-0.4, -1e-9), "inconclusive"),
        (0.01, (-0.4, 0.0), "inconclusive"),
        (0.01, (-0.4, 1e-9), "inconclusive"),
        (0.01, None, "inconclusive"),
        (None, (-0.4, -0.1), "inconclusive"),
    ],
)
def test_both_the_interval_and_the_adjusted_p_must_agree(p_holm, ci95, verdict):
    row = only(of_outcomes(190, 150)).model_copy(update={"ci95": ci95})
    assert _verdict(row, p_holm) == verdict


def test_orientation_of_metrics_of_which_less_is_better():
    assert not METRICS.load("mac").spec.higher_is_better
    low, high = (make_run({"mac": np.full(80, v) + 0.01 * rng(0).random(80)}) for v in (0.1, 0.5))
    worse, better = only(against(low, high)), only(against(high, low))
    assert (worse.verdict, better.verdict) == ("regressed", "improved")
    assert worse.difference == pytest.approx(0.4)
    assert worse.gain == pytest.approx(-0.4)
    assert worse.difference == -better.difference


def test_holm_is_over_all_rows():
    ids = ("accuracy", "shifted_accuracy", "worst_case_accuracy", "pairwise_consistency")
    before = {id: make_outcomes(150) for id in ids}
    after = {id: make_outcomes(150 - lost) for id, lost in zip(ids, (0, 6, 8, 12), strict=True)}
    found = against(make_run(before), make_run(after), gates=["*:0.5pp"])
    expected = holm(np.array([row.p for row in found.rows]))
    assert [row.p_holm for row in found.rows] == pytest.approx(expected.tolist())
    by_id = {row.metric: row for row in found.rows}
    # Alone, 6 lost of 200 are significant; as one of four rows they are not.
    assert by_id["shifted_accuracy"].p < 0.05 < by_id["shifted_accuracy"].p_holm
    assert by_id["shifted_accuracy"].verdict == "inconclusive"
    assert by_id["pairwise_consistency"].verdict == "regressed"
    alone = against(make_run(before), make_run(after), gates=["shifted_accuracy:0.5pp"])
    assert only(alone).verdict == "regressed"


def test_rows_without_a_difference_do_not_count_as_tests():
    base = make_result(
        make_run({"accuracy": make_outcomes(150)}), make_run({"accuracy": make_outcomes(9)}, model="mlp")
    )
    found = against(base, make_result(make_run({"accuracy": make_outcomes(140)})), gates=["accuracy:1pp"])
    row = next(row for row in found.rows if row.model == "cnn")
    assert row.p_holm == row.p
    assert found.count("missing") == 1


def test_rows_are_worst_first():
    base = {id: make_outcomes(100) for id in ("accuracy", "shifted_accuracy", "worst_case_accuracy", "fidelity", "mac")}
    after = dict(zip(base, (make_outcomes(n) for n in (100, 30, 160, 60, 103)), strict=True))
    found = against(make_run(base), make_run(after), gates=["*:1pp"])
    assert [row.verdict for row in found.rows] == [
        "regressed", "regressed", "inconclusive", "improved", "unchanged",
    ]  # fmt: skip
    assert [row.metric for row in found.rows[:2]] == ["shifted_accuracy", "fidelity"]


def test_inconclusive_rows_say_what_would_settle_them():
    row = only(of_outcomes(190, 187))
    assert row.images_needed > row.n == 200
    assert only(of_outcomes(190, 150)).images_needed is None
    assert only(of_outcomes(190, 190)).images_needed is None


@pytest.mark.parametrize(
    ("choice", "status"), [(None, "passed"), ("warn", "passed"), ("pass", "passed"), ("fail", "failed")]
)
def test_what_becomes_of_doubts(choice, status):
    found = of_outcomes(190, 187, inconclusive=choice)
    assert found.status == status
    # A gain that may be chance is no concern of a gate.
    assert of_outcomes(187, 190, inconclusive=choice).status == "passed"
    (finding,) = comparison_document(found).findings
    levels = {None: "warning", "warn": "warning", "pass": "passed", "fail": "failure"}
    assert finding.level == levels[choice]


# ---------------------------------------------------------------------------------------------------------------------
# Matching
# ---------------------------------------------------------------------------------------------------------------------

PLAIN = make_run({"accuracy": make_outcomes(150)})


@pytest.mark.parametrize(
    ("other", "verdict", "words"),
    [
        (make_run({"accuracy": make_outcomes(50, 100)}, contract="b"), "incomparable", "dataset n 200 → 100"),
        (
            make_run({"accuracy": make_outcomes(150)}, contract="b", protocol={"max_shift": 2}),
            "incomparable",
            "protocol max_shift 1 → 2",
        ),
        (
            make_run({"accuracy": make_outcomes(150)}, contract="b", protocol={"step": 2, "set": "axis"}),
            "incomparable",
            "protocol set grid → axis, protocol step 1 → 2",
        ),
        (
            make_run({"accuracy": make_outcomes(150)}, contract="b", dataset={"fingerprint": "g"}),
            "incomparable",
            "measured otherwise: dataset fingerprint",
        ),
        (
            make_run({"accuracy": make_outcomes(150)}, contract="b", dataset={"name": "toy:canvas=9"}),
            "incomparable",
            "dataset name toy → toy:canvas=9",
        ),
        (make_run({"accuracy": make_outcomes(150)}, contract="b"), "incomparable", "protocol is of another version"),
        # The contract lies: what is written beside it says something else.
        (make_run({"accuracy": make_outcomes(50, 100)}), "incomparable", "dataset n 200 → 100"),
        (make_run({"accuracy": make_outcomes(150)}, protocol={"count": 24}), "incomparable", "count 8 → 24"),
    ],
)  # fmt: skip
def test_runs_measured_otherwise(other, verdict, words):
    if other.protocol.count == 24:
        other = other.model_copy(update={"by_shift": PLAIN.by_shift.model_copy(update={"dy": [], "dx": []})})
        other = other.model_copy(update={"by_shift": type(other.by_shift)(reason="left out")})
    found = against(PLAIN, other)
    assert found.status == "incomparable"
    assert only(found).verdict == verdict
    assert words in only(found).reason
    assert only(found).difference is None
    # What is allowed is no obstacle, but where nothing could be judged nothing has passed.
    allowed = against(PLAIN, other, incomparable=True)
    assert allowed.status == "incomparable"
    second = PLAIN.model_copy(update={"model": "mlp"})
    if other.contract != PLAIN.contract:
        both = [make_result(PLAIN, second), make_result(other, second)]
        assert compare(*both, allow_incomparable=True).status == "passed"
        assert compare(*both).status == "incomparable"
    assert against(PLAIN, other, missing=True).status == "incomparable"
    assert comparison_document(found).findings[0].level == "error"
    assert comparison_document(allowed).findings[0].level == "error"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "mlp"},
        {"protocol": {"name": "zero"}, "contract": "zero"},
        {"dataset": {"name": "other"}, "contract": "other"},
    ],
    ids=str,
)
@pytest.mark.parametrize("lacking", ["candidate", "baseline"])
def test_runs_that_one_side_lacks(changes, lacking):
    extra = make_run({"accuracy": make_outcomes(100)}, **changes)
    both, one = make_result(PLAIN, extra), make_result(PLAIN)
    found = against(both, one) if lacking == "candidate" else against(one, both)
    assert found.status == "incomparable"
    row = next(row for row in found.rows if row.verdict == "missing")
    assert row.model == extra.model
    assert row.reason == f"the {lacking} has no such run"
    again = against(both, one, missing=True) if lacking == "candidate" else against(one, both, missing=True)
    assert again.status == "passed"
    assert again.rows == found.rows
    assert against(both, one, incomparable=True).status == "incomparable"


def test_other_seeds_device_and_weights_do_not_hinder():
    other = PLAIN.model_copy(update={"seed": 7, "weights_digest": "1" * 64})
    assert only(against(PLAIN, other)).verdict == "unchanged"


@pytest.mark.parametrize("lacking", ["candidate", "baseline"])
def test_a_metric_that_one_side_lacks(lacking):
    both = make_run({"accuracy": make_outcomes(150), "mac": make_outcomes(10)})
    pair = (both, PLAIN) if lacking == "candidate" else (PLAIN, both)
    named = against(*pair, gates=["mac:1pp", "accuracy:1pp"])
    row = next(row for row in named.rows if row.metric == "mac")
    assert (row.verdict, row.reason) == ("missing", f"the {lacking} does not have it")
    assert named.status == "incomparable"
    pattern = against(*pair, gates=["*:1pp"])
    # A metric that is new makes no old file incomparable; one that is gone does.
    assert pattern.status == ("incomparable" if lacking == "candidate" else "passed")


def test_a_metric_that_only_one_seed_has():
    base = make_result(make_run({"accuracy": make_outcomes(150)}, seed=0), make_run({"mac": make_outcomes(1)}, seed=1))
    found = against(base, base, gates=["accuracy:1pp"])
    assert only(found).verdict == "missing"


def test_metrics_of_another_version_or_definition():
    for changes, words in (
        ({"version": 2}, "versions 1 and 2 of the metric"),
        ({"unit": "", "title": "share"}, "unit 'fraction' → '' of the metric"),
        ({"higher_is_better": False}, "higher_is_better True → False"),
        ({"bounds": (0, 2)}, r"bounds (0.0, 1.0) → (0.0, 2.0)"),
    ):
        other = make_run({"accuracy": make_metric("accuracy", make_outcomes(150), **changes)})
        for pair in ((PLAIN, other), (other, PLAIN)):
            found = against(*pair)
            assert (found.status, only(found).verdict) == ("incomparable", "incomparable")
        assert words in only(against(PLAIN, other)).reason


def test_a_metric_without_a_value():
    without = make_run({"accuracy": make_outcomes(150), "feature_cosine": None})
    value = make_run({"accuracy": make_outcomes(150), "feature_cosine": np.full(200, 0.5)})
    for pair, side in (((value, without), "candidate"), ((without, value), "baseline")):
        found = against(*pair, gates=["*:1%"])
        row = next(row for row in found.rows if row.metric == "feature_cosine")
        assert (row.verdict, row.reason) == ("incomparable", f"no value in the {side}: nobody knows")
        assert found.status == "incomparable"
    # Where neither has one there is nothing to compare, and nothing amiss.
    both = against(without, without, gates=["*:1%"])
    assert (both.status, only(both).metric) == ("passed", "accuracy")


def test_where_no_metric_has_a_value_nothing_passes():
    without = make_run({"feature_cosine": None})
    found = against(without, without, gates=["*:1%"])
    assert (found.status, found.rows) == ("incomparable", [])
    assert "nothing could be judged" in advice(found)


@pytest.mark.parametrize("empty", ["baseline", "candidate", "both"])
def test_results_without_runs_never_pass(empty):
    full, none = make_result(PLAIN), make_result()
    pair = {"baseline": (none, full), "candidate": (full, none), "both": (none, none)}[empty]
    assert against(*pair).status == "incomparable"
    assert against(none, none, missing=True, incomparable=True).status == "incomparable"


def test_a_gate_for_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match=r"Unknown metric 'acuracy'.*Did you mean 'accuracy'"):
        against(PLAIN, PLAIN, gates=["acuracy:1pp"])
    with pytest.raises(InputError, match=r"Unknown metric 'foo\*'"):
        against(PLAIN, PLAIN, require=["foo*>=1"])


def test_a_gate_of_another_unit_is_refused_and_a_pattern_is_not():
    one = make_run({"accuracy": make_outcomes(150), "invariance_radius": make_summary("invariance_radius", 3.0)})
    with pytest.raises(InputError, match="'accuracy:1px' does not fit accuracy"):
        against(one, one, gates=["accuracy:1px"])
    with pytest.raises(InputError, match=r"'acc\*:1px' does not fit accuracy"):
        against(one, one, gates=["acc*:1px"])
    found = against(one, one, gates=["*:1px"])
    assert only(found).metric == "invariance_radius"
    assert any("No gate fits the unit of accuracy" in note for note in found.notes)
    assert not against(one, one, gates=["accuracy:1pp", "*:1px"]).notes
    assert len(against(one, one, gates=["*:1pp"]).rows) == 2


# ---------------------------------------------------------------------------------------------------------------------
# Requirements, statuses, notes, advice
# ---------------------------------------------------------------------------------------------------------------------


def test_requirements_are_on_every_model_of_every_candidate():
    two = make_result(PLAIN, make_run({"accuracy": make_outcomes(180)}, model="mlp"))
    found = against(two, two, require=["accuracy>=80%"])
    assert [(one.candidate, one.model, one.met) for one in found.requirements] == [
        ("new.json", "cnn", False),
        ("new.json", "mlp", True),
    ]
    assert found.status == "failed"
    assert "Next: look at cnn" in advice(found)
    assert "required accuracy>=80%: it is 75.0 %" in advice(found)
    assert against(two, two, require=["accuracy>=75%"]).status == "passed"


def test_a_requirement_is_on_the_mean_of_the_seeds():
    seeds = make_result(*(make_run({"accuracy": make_outcomes(n)}, seed=n) for n in (140, 160)))
    (one,) = against(seeds, seeds, require=["accuracy>=75%"]).requirements
    assert (one.value, one.met) == (pytest.approx(0.75), True)


def test_a_requirement_without_a_value_is_not_met():
    for require in ("mac<5%", "feature_cosine>=0.5"):
        run = make_run({"accuracy": make_outcomes(150), "feature_cosine": None})
        found = against(run, run, gates=["accuracy:1pp"], require=[require])
        (one,) = found.requirements
        assert (found.status, one.value, one.met) == ("incomparable", None, False)
        assert "it has no value" in advice(found)
        assert "--allow-missing" in advice(found)
        assert against(run, run, gates=["accuracy:1pp"], require=[require], missing=True).status == "passed"


def test_a_required_pattern_is_for_the_metrics_that_it_fits():
    run = make_run({"accuracy": make_outcomes(150), "kappa": make_summary("kappa", 0.2)})
    assert [one.metric for one in against(run, run, require=["*>=50%"]).requirements] == ["accuracy"]
    assert [one.met for one in against(run, run, require=["*>=0.5"]).requirements] == [True, False]


def test_a_failed_gate_is_worse_than_a_missing_row():
    base = make_result(make_run({"accuracy": make_outcomes(190)}), PLAIN.model_copy(update={"model": "mlp"}))
    found = against(base, make_run({"accuracy": make_outcomes(100)}))
    assert found.status == "failed"
    assert {row.verdict for row in found.rows} == {"regressed", "missing"}
    assert advice(found).startswith("Next: look at cnn, accuracy: regressed: 95.0 % → 50.0 %")


def test_notes_of_what_is_not_a_difference_of_the_models():
    base = make_result(make_run({"accuracy": make_outcomes(150)}, recipe={"epochs": 1, "augment": "none"}))
    other = make_result(
        make_run({"accuracy": make_outcomes(150)}, recipe={"epochs": 2, "augment": "none", "clip": [1, "\x1b[31m\n"]}),
        status="partial",
        environment={"device_kind": "gpu", "matmul_precision": "highest"},
    )
    notes = against(base, other).notes
    assert notes[0] == "new.json is partial: it holds 1 finished run."
    assert notes[1] == "new.json was measured on another device kind: cpu → gpu."
    assert notes[2].startswith("cnn was trained otherwise: clip None → [1, ")
    assert "epochs 1 → 2" in notes[2]
    assert not any("\x1b" in note or "\n" in note for note in notes)
    assert against(base, base).notes == []


def test_one_other_network_is_not_another_way_of_training():
    other = PLAIN.model_copy(update={"weights_digest": "1" * 64})
    (note,) = against(PLAIN, other).notes
    assert note.startswith("Weights differ, with one seed on a side")
    two = [
        make_result(*(make_run({"mac": rng(s).random(9)}, seed=s, weights_digest=f"{s + k}") for s in (0, 1)))
        for k in (0, 5)
    ]
    assert against(*two, gates=["mac:1pp"]).notes == []


def test_advice_of_each_status():
    assert advice(of_outcomes(150, 150)) == "Next: nothing; no gate failed."
    assert advice(of_outcomes(190, 150)).startswith("Next: look at cnn, accuracy: regressed")
    assert "images like these (now 200) would settle cnn, accuracy" in advice(of_outcomes(190, 187))
    assert "--allow-missing" in advice(against(PLAIN, PLAIN.model_copy(update={"model": "mlp"})))
    other = make_run({"accuracy": make_outcomes(50, 100)}, contract="b")
    assert "--allow-incomparable" in advice(against(PLAIN, other))


def test_advice_names_what_is_not_allowed_yet():
    base = make_result(PLAIN, PLAIN.model_copy(update={"model": "mlp"}))
    other = make_result(make_run({"accuracy": make_outcomes(50, 100)}, contract="b"))
    said = advice(against(base, other, missing=True))
    assert "--allow-incomparable" in said
    assert "--allow-missing" not in said


def test_advice_of_doubts_beside_a_failed_requirement_is_about_the_requirement():
    found = of_outcomes(190, 187, require=["accuracy>=95%"])
    assert found.status == "failed"
    assert "required accuracy>=95%" in advice(found)


def test_only_changed_counts_what_it_hides():
    base = {"accuracy": make_outcomes(150), "mac": make_outcomes(30), "fidelity": make_outcomes(100)}
    found = against(make_run(base), make_run(base | {"fidelity": make_outcomes(30)}), gates=["*:1pp"])
    document = comparison_document(found, only_changed=True)
    assert [len(column.cells) for column in document.tables[0].columns] == [1] * len(document.tables[0].columns)
    assert "2 unchanged rows are not shown." in document.closing
    assert len(document.records) == len(document.lines) == 3
    assert comparison_document(found).closing[0] != document.closing[0]
    one = comparison_document(of_outcomes(150, 150), only_changed=True)
    assert one.tables == []
    assert "1 unchanged row is not shown." in one.closing


# ---------------------------------------------------------------------------------------------------------------------
# Exactness
# ---------------------------------------------------------------------------------------------------------------------

CLASSES = np.arange(200 * 9).reshape(200, 9) % 7


def exactly(**changes):
    fields = {"predictions": CLASSES} | changes
    return make_run({"accuracy": make_outcomes(150)}, **fields)


def test_one_flipped_prediction_is_found():
    flipped = CLASSES.copy()
    flipped[17, 3] = 9
    flipped[120, 0] = 8
    flipped[120, 5:7] = 8
    found = against(exactly(), exactly(predictions=flipped), exact=True)
    assert found.status == "failed"
    first, second = found.changes
    # Column 0 is the image that did not move; column 3 is the third shift.
    assert (first.image, first.shifts, first.shift) == (17, 1, (-1, 1))
    assert (first.before, first.after) == (CLASSES[17, 3], 9)
    assert (second.image, second.shifts, second.shift) == (120, 3, (0, 0))
    document = comparison_document(found)
    assert "2 images with changed predictions" in document.opening[0]
    assert "image 17" in advice(found)
    assert sum(finding.level == "failure" for finding in document.findings) == 2
    assert against(exactly(), exactly(predictions=flipped)).status == "passed"


def test_shifts_of_every_image_s_own_have_no_name():
    changes = {"by_shift": type(PLAIN.by_shift)(reason="left out")}
    flipped = CLASSES.copy()
    flipped[3, 4] = 9
    found = against(exactly(**changes), exactly(predictions=flipped, **changes), exact=True)
    assert found.changes[0].shift is None
    assert "a shift of its own" in advice(found)


def test_equal_predictions_pass():
    found = against(exactly(), exactly(), exact=True)
    assert (found.status, found.changes) == ("passed", [])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (exactly(weights_digest="1" * 64), "the weights are not the same (seed 0)"),
        (exactly(seed=1), "seeds [0] against [1]"),
        (exactly(predictions=None), "a run holds no predictions (a file of version 1"),
    ],
)
def test_what_cannot_be_compared_exactly(other, words):
    found = against(exactly(), other, exact=True)
    assert found.status == "incomparable"
    row = next(row for row in found.rows if row.verdict == "incomparable")
    assert words in row.reason
    assert found.changes == []
    assert against(exactly(), other, exact=True, incomparable=True).status == "incomparable"


def test_many_changed_images_are_counted_and_not_all_shown():
    found = against(exactly(), exactly(predictions=(CLASSES + 1) % 7), exact=True)
    assert len(found.changes) == 200
    table = comparison_document(found).tables[-1]
    assert len(table.columns[0].cells) == 20
    assert table.sentences == ["180 more images are in --format json."]


# ---------------------------------------------------------------------------------------------------------------------
# Models of one result
# ---------------------------------------------------------------------------------------------------------------------


def models(**scores):
    """A result with one model per (accuracy, worst case, params, flops, speed)."""
    return make_result(
        *(
            make_run(
                {"accuracy": make_outcomes(accuracy), "worst_case_accuracy": make_outcomes(worst)},
                model=name,
                params=params,
                flops=flops,
                timing={"images_per_second": speed},
            )
            for name, (accuracy, worst, params, flops, speed) in scores.items()
        )
    )


def test_standings_against_brute_force():
    random = rng(3)
    scores = {
        f"m{i}": (
            int(random.integers(100, 104)),
            int(random.integers(50, 54)),
            int(random.integers(1, 5)),
            None if random.random() < 0.2 else float(random.integers(1, 5)),
            float(random.integers(0, 4)),
        )
        for i in range(24)
    }
    standings = {one.model: one for one in among(models(**scores)).standings}
    assert list(standings) == sorted(scores, key=lambda name: (-scores[name][1], -scores[name][0]))
    cost = {
        name: {"params": params, "flops": flops, "time": 1 / speed if speed else None}
        for name, (_, _, params, flops, speed) in scores.items()
    }
    for name, one in standings.items():
        assert one.rank == 1 + sum(other[1] > scores[name][1] for other in scores.values())
        front = []
        for kind in ("params", "flops", "time"):
            beaten = [
                other
                for other in scores
                if None not in (cost[other][kind], cost[name][kind])
                and scores[other][0] >= scores[name][0]
                and scores[other][1] >= scores[name][1]
                and cost[other][kind] <= cost[name][kind]
                and (*scores[other][:2], cost[other][kind]) != (*scores[name][:2], cost[name][kind])
            ]
            front += [kind] if cost[name][kind] is not None and not beaten else []
        assert one.pareto == front
    assert any(one.pareto for one in standings.values())
    assert any(not one.pareto for one in standings.values())


def test_ties_share_a_rank():
    same = (150, 100, 10, 1.0, 1.0)
    found = among(models(a=same, b=same, c=(150, 90, 10, 1.0, 1.0))).standings
    assert [one.rank for one in found] == [1, 1, 3]
    assert [one.pareto for one in found] == [["params", "flops", "time"]] * 2 + [[]]


def test_models_without_one_of_the_accuracies_have_no_place():
    result = make_result(PLAIN, make_run({"accuracy": make_outcomes(3)}, model="mlp"))
    assert among(result).standings == []


def test_the_reference_is_the_first_or_chosen():
    result = models(a=(150, 100, 1, 1.0, 1.0), b=(100, 50, 1, 1.0, 1.0), c=(180, 120, 1, 1.0, 1.0))
    first, chosen = among(result), among(result, reference="b")
    assert (first.baseline, {row.model for row in first.rows}) == ("a", {"b", "c"})
    assert (chosen.baseline, {row.model for row in chosen.rows}) == ("b", {"a", "c"})
    assert {row.verdict for row in chosen.rows} == {"improved"}
    with pytest.raises(InputError, match="Unknown reference 'd'; allowed: a, b, c"):
        among(result, reference="d")


def test_between_models_only_gates_that_were_asked_for_fail():
    result = models(a=(150, 100, 1, 1.0, 1.0), b=(100, 50, 1, 1.0, 1.0))
    found = among(result)
    assert (found.status, found.gated) == ("passed", False)
    assert found.count("regressed") == 2
    assert {finding.level for finding in comparison_document(found).findings} == {"notice"}
    asked = among(result, gates=["accuracy:1pp"])
    assert (asked.status, asked.gated) == ("failed", True)
    # A requirement that is not met makes no gate of the default margins.
    required = among(result, require=["accuracy>=60%"])
    levels = [finding.level for finding in comparison_document(required).findings]
    assert required.status == "failed"
    assert levels.count("failure") == 1
    assert "required accuracy>=60%" in advice(required)


def test_contracts_are_compared_one_by_one():
    zero = {"protocol": {"name": "zero"}, "contract": "zero"}
    result = make_result(
        PLAIN,
        make_run({"accuracy": make_outcomes(150)}, **zero),
        make_run({"accuracy": make_outcomes(60)}, model="mlp"),
        make_run({"accuracy": make_outcomes(150)}, model="mlp", **zero),
    )
    rows = {row.movement: row.verdict for row in among(result).rows}
    assert rows == {"circular, |d|≤1": "regressed", "zero, |d|≤1": "unchanged"}


def test_a_model_under_a_contract_that_the_reference_lacks():
    result = make_result(PLAIN, make_run({"accuracy": make_outcomes(3)}, model="mlp", contract="b"))
    found = among(result)
    assert (found.status, only(found).verdict) == ("incomparable", "missing")
    assert only(found).reason == "the reference cnn was not measured like this"


def test_one_model_alone_has_nothing_to_be_compared_with():
    found = among(make_result(PLAIN))
    assert (found.status, found.rows) == ("passed", [])
    assert "nothing to compare" in comparison_document(found).opening[0]
    assert among(make_result(PLAIN), require=["accuracy>=80%"]).status == "failed"


def test_a_result_without_runs_has_no_models():
    with pytest.raises(InputError, match="holds no finished run"):
        among(make_result())


# ---------------------------------------------------------------------------------------------------------------------
# The Python API
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_one_file_twice_is_a_fair_question():
    found = compare(OLD, OLD, str(OLD))
    assert found.status == "passed"
    assert found.candidates == [f"{OLD} (2)", f"{OLD} (3)"]
    assert {row.verdict for row in found.rows} == {"unchanged"}


def test_results_runs_and_files_may_be_mixed(tmp_path):
    save_result(make_result(PLAIN), tmp_path / "r.json")
    found = compare(PLAIN, make_result(PLAIN), "r.json")
    assert (found.status, found.candidates) == ("passed", ["result 2", "r.json"])


def test_a_file_of_version_1_can_be_compared_but_not_exactly():
    assert compare(OLD, OLD).status == "passed"
    found = compare(OLD, OLD, exact=True)
    assert found.status == "incomparable"
    assert "a run holds no predictions" in advice(found)


def test_usage_mistakes():
    with pytest.raises(InputError, match="nothing to compare"):
        compare()
    with pytest.raises(InputError, match="several results are compared with the first"):
        compare(PLAIN, PLAIN, reference="cnn")
    with pytest.raises(InputError, match="takes two results"):
        compare(PLAIN, exact=True)


def test_several_candidates_each_have_rows():
    found = compare(PLAIN, make_run({"accuracy": make_outcomes(60)}), PLAIN)
    assert [(row.candidate, row.verdict) for row in found.rows] == [
        ("result 2", "regressed"),
        ("result 3", "unchanged"),
    ]


def test_every_combination_of_what_is_allowed():
    third = PLAIN.model_copy(update={"model": "third"})
    base = make_result(PLAIN, PLAIN.model_copy(update={"model": "mlp"}), third)
    other = make_result(make_run({"accuracy": make_outcomes(50, 100)}, contract="b"), third)
    for missing, incomparable in itertools.product((False, True), repeat=2):
        found = compare(base, other, allow_missing=missing, allow_incomparable=incomparable)
        # The third row is compared.
        assert found.status == ("passed" if missing and incomparable else "incomparable")
        levels = {
            row.verdict: finding.level
            for row, finding in zip(found.rows, comparison_document(found).findings, strict=True)
        }
        assert levels == {
            "unchanged": "passed",
            "missing": "notice" if missing else "error",
            "incomparable": "notice" if incomparable else "error",
        }
