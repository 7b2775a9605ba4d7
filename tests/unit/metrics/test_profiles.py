"""Profiles by shift and by radius compared with loops over the raw logits of a small model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cnnshift.metrics.profiles import profile_by_radius, profile_by_shift
from cnnshift.metrics.sensitivity import interclass_distance
from cnnshift.results.schema import ShiftTable
from cnnshift.stats.intervals import mean_interval
from cnnshift.unavailable import Unavailable
from tests.simulated_observations import ENUMERATED, SETS, evaluate, mean, run


@pytest.mark.parametrize("shift_set", ENUMERATED)
def test_profile_by_shift_matches_brute_force(shift_set: str) -> None:
    raw, table = run(shift_set)
    loss = np.linspace(0, 1, len(table.shifts))
    rows = profile_by_shift(table, 1.0, loss)
    assert rows.information_loss == loss.tolist()
    assert len(rows.dy) == len(raw.shifts(0))
    for row, d in enumerate(raw.shifts(0)):
        everywhere = raw.images()
        assert (rows.dy[row], rows.dx[row]) == tuple(map(float, d))
        assert rows.accuracy[row] == mean([raw.predicted(i, d) == raw.labels[i] for i in everywhere])
        assert rows.consistency[row] == mean([raw.predicted(i, d) == raw.predicted(i) for i in everywhere])
        assert rows.sensitivity[row] == pytest.approx(
            mean([math.dist(raw.logits[i][d], raw.logits[i][0, 0]) for i in everywhere])
        )


def test_profile_by_shift_is_unavailable_for_random_shifts() -> None:
    rows = profile_by_shift(run("random:5")[1], 1.0, np.empty(0))
    assert rows == ShiftTable(reason="needs the same shifts for every image")


@pytest.mark.parametrize("shift_set", [*SETS, "random:1"])
def test_profile_by_radius_matches_brute_force(shift_set: str) -> None:
    raw, table = run(shift_set)
    rows = profile_by_radius(table, 1.0)

    def at(i: int, r: int) -> list[tuple[int, int]]:
        return [d for d in raw.shifts(i) if max(map(abs, d)) == r]

    radii = sorted({max(map(abs, d)) for i in raw.images() for d in raw.shifts(i)})
    assert rows.radius == list(map(float, radii))
    for row, r in enumerate(radii):
        has = [i for i in raw.images() if at(i, r)]
        inside = {i: [d for d in raw.logits[i] if max(map(abs, d)) <= r] for i in raw.images()}
        correct = [mean([raw.predicted(i, d) == raw.labels[i] for d in at(i, r)]) for i in has]
        stays = [mean([raw.predicted(i, d) == raw.predicted(i) for d in at(i, r)]) for i in has]
        assert rows.images[row] == len(has)
        assert rows.pairs[row] == sum(len(at(i, r)) for i in has)
        assert rows.accuracy[row] == pytest.approx(mean(correct))
        assert rows.consistency[row] == pytest.approx(mean(stays))
        low, high = rows.consistency_ci95[row]
        assert low <= rows.consistency[row] <= high
        assert rows.worst_case_accuracy[row] == pytest.approx(
            mean([all(raw.predicted(i, d) == raw.labels[i] for d in inside[i]) for i in raw.images()])
        )
        survives = [all(raw.predicted(i, d) == raw.predicted(i) for d in inside[i]) for i in raw.images()]
        assert rows.survival[row] == pytest.approx(mean(survives))
        limits = mean_interval(np.array(survives, dtype=float))
        assert rows.survival_ci95[row] == (limits.low, limits.high)
        distances = [mean([math.dist(raw.logits[i][d], raw.logits[i][0, 0]) for d in at(i, r)]) for i in has]
        assert rows.sensitivity[row] == pytest.approx(mean(distances))


@pytest.mark.parametrize("shift_set", ENUMERATED)
def test_the_last_radius_agrees_with_the_metrics(shift_set: str) -> None:
    _, table = run(shift_set)
    divisor = interclass_distance(table.reference_logits, table.labels)
    assert not isinstance(divisor, Unavailable)
    rows = profile_by_radius(table, divisor)
    pairs = np.array(rows.pairs)
    values = evaluate(table, ["worst_case_accuracy", "invariance_radius", "reference_consistency", "sensitivity"])
    assert rows.worst_case_accuracy[-1] == pytest.approx(values["worst_case_accuracy"].value)
    steps = np.diff(rows.radius, prepend=0)
    assert values["invariance_radius"].value == pytest.approx((np.array(rows.survival) * steps).sum())
    weighted = (np.array(rows.consistency) * pairs).sum() / pairs.sum()
    assert values["reference_consistency"].value == pytest.approx(weighted)
    weighted = (np.array(rows.sensitivity) * pairs).sum() / pairs.sum()
    assert values["sensitivity"].value == pytest.approx(weighted)


def test_without_a_divisor_there_is_no_sensitivity() -> None:
    _, table = run("grid")
    missing = Unavailable("needs images of at least two classes")
    for rows in (profile_by_radius(table, missing), profile_by_shift(table, missing, np.empty(0))):
        assert (rows.sensitivity, rows.sensitivity_reason) == (None, missing.reason)
