"""Verdicts at their limits, and their order."""

import math

import numpy as np
import pytest

from cnnshift.catalog import METRICS
from cnnshift.comparison.verdicts import _verdict
from cnnshift.render.documents.comparison import comparison_document
from cnnshift.stats.holm import holm
from tests.comparing import against, of_outcomes, only, rng
from tests.factories import make_outcomes, make_result, make_run, make_summary


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
def test_an_interval_that_touches_0_is_inconclusive(half, verdict):
    # One side has no error, so that the interval of the difference is that of the other.
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
def test_interval_and_adjusted_p_value_must_agree(p_holm, ci95, verdict):
    row = only(of_outcomes(190, 150)).model_copy(update={"ci95": ci95})
    assert _verdict(row, p_holm) == verdict


def test_lower_is_better_for_some_metrics():
    assert not METRICS.load("mac").spec.higher_is_better
    low, high = (make_run({"mac": np.full(80, v) + 0.01 * rng(0).random(80)}) for v in (0.1, 0.5))
    worse, better = only(against(low, high)), only(against(high, low))
    assert (worse.verdict, better.verdict) == ("regressed", "improved")
    assert worse.difference == pytest.approx(0.4)
    assert worse.improvement == pytest.approx(-0.4)
    assert worse.difference == -better.difference


def test_holm_adjusts_over_all_rows():
    ids = ("accuracy", "shifted_accuracy", "worst_case_accuracy", "pairwise_consistency")
    before = {id: make_outcomes(150) for id in ids}
    after = {id: make_outcomes(150 - lost) for id, lost in zip(ids, (0, 6, 8, 12), strict=True)}
    found = against(make_run(before), make_run(after), gates=["*:0.5pp"])
    expected = holm(np.array([row.p for row in found.rows]))
    assert [row.p_holm for row in found.rows] == pytest.approx(expected.tolist())
    by_id = {row.metric: row for row in found.rows}
    # A loss of 6 of 200 is significant alone, but not as one of four rows.
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


def test_inconclusive_rows_have_the_required_sample_size():
    row = only(of_outcomes(190, 187))
    assert row.images_needed > row.n == 200
    assert only(of_outcomes(190, 150)).images_needed is None
    assert only(of_outcomes(190, 190)).images_needed is None


@pytest.mark.parametrize(
    ("choice", "status"), [(None, "passed"), ("warn", "passed"), ("pass", "passed"), ("fail", "failed")]
)
def test_on_inconclusive(choice, status):
    found = of_outcomes(190, 187, inconclusive=choice)
    assert found.status == status
    # An inconclusive improvement does not fail.
    assert of_outcomes(187, 190, inconclusive=choice).status == "passed"
    (finding,) = comparison_document(found).findings
    levels = {None: "warning", "warn": "warning", "pass": "passed", "fail": "failure"}
    assert finding.level == levels[choice]
