"""Consistency by phase and the phase gap, compared with loops and on constructed predictions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cnnshift.catalog import METRICS
from cnnshift.metrics.profiles import profile_by_phase
from cnnshift.observations import Observations
from cnnshift.results.observations_file import load_observations, write_observations
from cnnshift.results.schema import PhaseTable
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.stats.intervals import mean_interval
from cnnshift.unavailable import Unavailable

METRIC = METRICS.load("phase_spectrum")
IMAGES = 9


def shifts_of(name: str, reach: int = 4, *, size: int = 12, wraps: bool = False, step: int = 1) -> np.ndarray:
    return enumerate_shifts(name, max_shift=reach, step=step, size=(size, size), wraps=wraps, images=IMAGES).shifts


def observe(stays: np.ndarray, shifts: np.ndarray, stride: int | None) -> Observations:
    """Return observations whose predictions equal the unshifted ones where `stays` [n s] is true."""
    n, s = stays.shape
    ones, table = np.ones(n), np.ones((n, s))
    return Observations(
        shifts=shifts,
        neighbours=None,
        labels=np.zeros(n, dtype=int),
        reference_prediction=np.zeros(n, dtype=int),
        reference_probability=ones,
        reference_label_probability=ones,
        reference_logits=np.ones((n, 2)),
        prediction=np.where(stays, 0, 1),
        probability=table,
        label_probability=table,
        distance=table,
        cosine=None,
        logit_change=np.ones((n, 2)),
        logit_square_change=np.ones((n, 2)),
        shift_logit_change=np.ones((s, 2)),
        stride=stride,
    )


def random_table(shifts: np.ndarray, stride: int | None) -> Observations:
    count = shifts.shape[-2]
    return observe(np.random.default_rng(3).random((IMAGES, count)) < 0.6, shifts, stride)


def list_predictions(table: Observations, image: int) -> list[tuple[float, float, bool]]:
    """Return (dy, dx, whether the class stays) for every shift of an image."""
    shifts = table.shifts if table.shifts.ndim == 2 else table.shifts[image]
    return [
        (float(dy), float(dx), bool(p == table.reference_prediction[image]))
        for (dy, dx), p in zip(shifts, table.prediction[image], strict=True)
    ]


def brute_metric(table: Observations, stride: int) -> list[float]:
    values = []
    for image in range(IMAGES):
        predictions = [(dy, dx, a) for dy, dx, a in list_predictions(table, image) if dy == int(dy) and dx == int(dx)]
        terms = []
        for dy, dx, stays in predictions:
            if dy % stride or dx % stride:
                continue
            off_grid = [
                a
                for ey, ex, a in predictions
                if (ey % stride or ex % stride) and max(abs(ey), abs(ex)) == max(abs(dy), abs(dx))
            ]
            if off_grid:
                terms.append(stays - sum(off_grid) / len(off_grid))
        values.append(sum(terms) / len(terms) if terms else math.nan)
    return values


CASES = [
    ("grid", 1, 2, 4, False),
    ("grid", 1, 3, 4, False),
    ("grid", 1, 4, 4, False),
    ("grid", 2, 4, 4, False),
    ("axis", 1, 2, 3, False),
    ("full", 1, 4, 4, True),
    ("full", 1, 5, 4, True),
    ("random:6", 1, 2, 4, False),
    ("random:1", 1, 2, 4, False),
]


@pytest.mark.parametrize(("name", "step", "stride", "reach", "wraps"), CASES)
def test_profile_by_phase_matches_a_loop(name: str, step: int, stride: int, reach: int, wraps: bool) -> None:
    table = random_table(shifts_of(name, reach, wraps=wraps, step=step), stride)
    rows = profile_by_phase(table, stride)
    assert rows.stride == stride
    expected: dict[tuple[int, int], dict[int, list[bool]]] = {}
    for image in range(IMAGES):
        for dy, dx, stays in list_predictions(table, image):
            phase = int(dy) % stride, int(dx) % stride
            expected.setdefault(phase, {}).setdefault(image, []).append(stays)
    assert list(zip(rows.py, rows.px, strict=True)) == sorted(expected)
    for row, phase in enumerate(sorted(expected)):
        shares = [sum(stays) / len(stays) for stays in expected[phase].values()]
        assert rows.pairs[row] == sum(map(len, expected[phase].values()))
        assert rows.images[row] == len(shares)
        assert rows.consistency[row] == pytest.approx(sum(shares) / len(shares))
        limits = mean_interval(np.array(shares))
        assert rows.consistency_ci95[row] == pytest.approx((limits.low, limits.high))


@pytest.mark.parametrize(("name", "step", "stride", "reach", "wraps"), CASES)
def test_the_metric_matches_a_loop(name: str, step: int, stride: int, reach: int, wraps: bool) -> None:
    table = random_table(shifts_of(name, reach, wraps=wraps, step=step), stride)
    summary, expected = METRIC.summarize(table), brute_metric(table, stride)
    if all(map(math.isnan, expected)):
        assert f"total stride of {stride} px" in summary.reason
        return
    np.testing.assert_allclose(summary.per_image, expected, atol=1e-12)
    assert summary.n == sum(not math.isnan(value) for value in expected)
    assert summary.value == pytest.approx(np.nanmean(expected))
    assert summary.ci95[0] < summary.value < summary.ci95[1]


def periodic(shifts: np.ndarray, stride: int) -> np.ndarray:
    return np.broadcast_to((shifts % stride == 0).all(axis=1), (IMAGES, len(shifts)))


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_periodic_inconsistency_has_the_value_1(stride: int) -> None:
    shifts = shifts_of("grid")
    table = observe(periodic(shifts, stride), shifts, stride)
    summary = METRIC.summarize(table)
    assert summary.value == 1
    assert summary.ci95[1] == 1
    rows = profile_by_phase(table, stride)
    assert rows.consistency == [1.0] + [0.0] * (stride**2 - 1)
    assert sum(rows.pairs) == IMAGES * len(shifts)


@pytest.mark.parametrize("name", ["grid", "random:20"])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_inconsistency_that_depends_on_the_radius_alone_has_the_value_0(name: str, stride: int) -> None:
    shifts = shifts_of(name)
    radius = np.broadcast_to(np.abs(shifts).max(axis=-1), (IMAGES, shifts.shape[-2]))
    # Images fail from different radii on.
    summary = METRIC.summarize(observe(radius < np.arange(IMAGES)[:, None] % 5, shifts, stride))
    assert summary.value == 0
    assert (summary.per_image[~np.isnan(summary.per_image)] == 0).all()


def test_effects_linear_in_the_smaller_coordinate_cancel_on_whole_squares() -> None:
    shifts = shifts_of("grid", 8, size=20)
    smaller = np.abs(shifts).min(axis=1)
    rng = np.random.default_rng(0)
    # The probability of an unchanged class falls from 1 to 0 along each side of a square, independent of the phase.
    stays = rng.random((4000, len(shifts))) > smaller / 8
    summary = METRIC.summarize(observe(stays, shifts, 4))
    assert summary.ci95[0] < 0 < summary.ci95[1]
    assert summary.ci95[1] - summary.ci95[0] < 0.02


@pytest.mark.parametrize(
    ("shifts", "stride", "reason"),
    [
        (shifts_of("grid"), None, "total stride is known"),
        (shifts_of("grid"), 1, "total stride is 1"),
        (shifts_of("grid"), 8, "no shift is by multiples of the total stride of 8 px"),
        (shifts_of("grid", step=2), 2, "has the radius of a shift on it"),
        (shifts_of("axis", 2), 2, "has the radius of a shift on it"),
        (shifts_of("grid") + 0.5, 2, "no shift is by multiples"),
    ],
    ids=["unknown", "stride 1", "too short", "on the grid only", "no other shift at the radius", "fractions only"],
)
def test_reasons_without_a_value(shifts: np.ndarray, stride: int | None, reason: str) -> None:
    summary = METRIC.summarize(random_table(shifts, stride))
    assert (summary.value, summary.n) == (None, 0)
    assert reason in summary.reason


def test_fractions_of_a_pixel_have_no_phase() -> None:
    integer = random_table(shifts_of("grid"), 4)
    between = np.concatenate([integer.shifts + 0.5, integer.shifts + np.array([0.25, 0.0])])
    mixed = random_table(np.concatenate([integer.shifts, between]), 4)
    mixed.prediction[:, : len(integer.shifts)] = integer.prediction
    np.testing.assert_array_equal(METRIC.summarize(mixed).per_image, METRIC.summarize(integer).per_image)
    assert profile_by_phase(mixed, 4) == profile_by_phase(integer, 4)
    absent = profile_by_phase(random_table(between, 4), 4)
    assert absent == PhaseTable(stride=4, reason="needs shifts by whole pixels")
    assert profile_by_phase(integer, Unavailable("unknown")) == PhaseTable(reason="unknown")


@pytest.mark.parametrize("stride", [None, 8])
def test_observation_files_keep_the_stride(tmp_path, stride: int | None) -> None:
    table = random_table(shifts_of("grid"), stride)
    write_observations(tmp_path / "o.npz", "cell", table, fresh=True)
    (loaded,) = load_observations(tmp_path / "o.npz").values()
    assert loaded.stride == stride
    np.testing.assert_array_equal(loaded.prediction, table.prediction)
