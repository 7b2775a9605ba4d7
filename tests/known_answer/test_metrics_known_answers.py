"""Models for which the value of every metric is known."""

from __future__ import annotations

import numpy as np
import pytest

from cnnshift.catalog import METRICS
from cnnshift.metrics.base import Summary
from cnnshift.metrics.profiles import profile_by_radius
from cnnshift.observations import Observations
from cnnshift.shifts.sets import enumerate_shifts
from tests import simulated_observations
from tests.simulated_observations import evaluate

REACH = 3
IMAGES, CLASSES = 60, 5
GRID = enumerate_shifts("grid", max_shift=REACH, step=1, size=(9, 9), wraps=False, images=1)
LABELS = np.arange(IMAGES) % CLASSES


def observe(logits: np.ndarray, labels: np.ndarray = LABELS) -> Observations:
    """Return the observations of logits [n m k] over the grid, row 0 unshifted; the features are the logits."""
    return simulated_observations.observe(logits, labels, GRID.shifts, GRID.neighbours, features=logits, stride=2)


def at_all_shifts(logits: np.ndarray) -> np.ndarray:
    return np.repeat(logits[:, None], GRID.count + 1, axis=1)


def constant_classifier() -> Observations:
    return observe(np.tile([1.0, 0.5, 0.25, 0.1, -0.3], (IMAGES, GRID.count + 1, 1)))


def perfect_classifier() -> Observations:
    return observe(at_all_shifts(10 * np.eye(CLASSES)[LABELS]))


def shift_identical_classifier() -> Observations:
    """Correct for four of five images, invariant to shifts."""
    classes = np.where(np.arange(IMAGES) < 48, LABELS, (LABELS + 1) % CLASSES)
    noise = np.random.default_rng(0).random((IMAGES, CLASSES))
    return observe(at_all_shifts(3 * np.eye(CLASSES)[classes] + noise))


def position_classifier() -> Observations:
    """Depends on the shift only: class 0 for the unshifted image, class 1 for every shift."""
    logits = np.zeros((IMAGES, GRID.count + 1, CLASSES))
    logits[:, 0, 0] = 1.0
    logits[:, 1:, 1] = 1.0
    return observe(logits)


CONSISTENT = {
    "reference_consistency": 1.0,
    "pairwise_consistency": 1.0,
    "pairwise_consistency_replacement": 1.0,
    "conditional_consistency": 1.0,
    "flip_probability": 0.0,
    "mac": 0.0,
    "probability_range": 0.0,
    "invariance_radius": float(REACH),
    "feature_cosine": 1.0,
    "phase_spectrum": 0.0,
}
KNOWN = {
    "constant": (
        constant_classifier,
        CONSISTENT
        | {"accuracy": 0.2, "shifted_accuracy": 0.2, "worst_case_accuracy": 0.2, "fidelity": 0.2}
        | {"kappa": 0.0, "sensitivity": None, "normalized_variance": None},
    ),
    "perfect": (
        perfect_classifier,
        CONSISTENT
        | {"accuracy": 1.0, "shifted_accuracy": 1.0, "worst_case_accuracy": 1.0, "fidelity": 1.0}
        | {"kappa": 1.0, "sensitivity": 0.0, "normalized_variance": 0.0},
    ),
    "shift-identical": (
        shift_identical_classifier,
        CONSISTENT
        | {"accuracy": 0.8, "shifted_accuracy": 0.8, "worst_case_accuracy": 0.8, "fidelity": 0.8}
        | {"kappa": 1.0, "sensitivity": 0.0, "normalized_variance": 0.0},
    ),
    "position": (
        position_classifier,
        {"accuracy": 0.2, "shifted_accuracy": 0.2, "worst_case_accuracy": 0.0, "fidelity": 0.0}
        | {"reference_consistency": 0.0, "conditional_consistency": 0.0, "kappa": 0.0}
        # 48 of the 49 members agree: 48·47 of 49·48 ordered pairs, 48² + 1 of 49² with replacement.
        | {"pairwise_consistency": 47 / 49, "pairwise_consistency_replacement": 2305 / 2401}
        # Of the 2·7·6 pairs of neighbours the four around the unshifted image flip.
        | {"flip_probability": 4 / 84, "invariance_radius": 0.0, "feature_cosine": 0.0}
        | {"normalized_variance": None, "sensitivity": None, "phase_spectrum": 0.0},
    ),
}
CASES = [(model, name, value) for model, (_, values) in KNOWN.items() for name, value in values.items()]


@pytest.fixture(scope="module")
def summaries() -> dict[str, dict[str, Summary]]:
    return {model: evaluate(build(), METRICS) for model, (build, _) in KNOWN.items()}


@pytest.mark.parametrize(("model", "name", "value"), CASES)
def test_known_value(summaries: dict[str, dict[str, Summary]], model: str, name: str, value: float | None) -> None:
    summary = summaries[model][name]
    if value is None:
        assert summary.value is None
        assert summary.reason
    else:
        assert summary.value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("model", KNOWN)
def test_intervals_contain_the_value_and_do_not_collapse(summaries: dict[str, dict[str, Summary]], model: str) -> None:
    for name, summary in summaries[model].items():
        if summary.value is None:
            continue
        if name == "kappa" and model == "constant":
            assert summary.ci95 is None
            assert "convention" in summary.method
            continue
        if name in ("sensitivity", "normalized_variance"):
            # Unbounded values that are all equal have no interval.
            assert summary.ci95 is None
            assert "no interval" in summary.method
            continue
        assert summary.ci95 is not None, name
        low, high = summary.ci95
        assert low - 1e-12 <= summary.value <= high + 1e-12, name
        assert high > low, name


def test_kappa_interval_of_full_agreement_is_the_transformed_interval_of_the_agreement(
    summaries: dict[str, dict[str, Summary]],
) -> None:
    perfect = summaries["perfect"]
    consistency, kappa = perfect["reference_consistency"], perfect["kappa"]
    assert consistency.ci95 is not None
    assert kappa.ci95 is not None
    chance = 1 / CLASSES
    assert kappa.ci95[0] <= (consistency.ci95[0] - chance) / (1 - chance) + 1e-12
    assert kappa.ci95[1] == pytest.approx(1.0)
    assert "fixed p_e" in kappa.method


@pytest.mark.parametrize("unstable", [0.02, 0.3])
def test_kappa_interval_covers(unstable: float) -> None:
    """Simulate three equally frequent classes; the class of a fraction of the images flips at half of the shifts."""
    rng = np.random.default_rng(7)
    images, trials = 80, 150
    truth = 1 - 0.75 * unstable
    covered = 0
    for _ in range(trials):
        reference = rng.integers(3, size=images)
        flips = rng.random((images, GRID.count + 1)) < 0.5
        flips &= (rng.random(images) < unstable)[:, None]
        flips[:, 0] = False
        table = observe(np.eye(3)[(reference[:, None] + flips) % 3], reference)
        interval = METRICS.load("kappa").summarize(table).ci95
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    assert covered >= 0.93 * trials


def test_worst_case_is_at_most_every_shift_and_falls_with_the_radius() -> None:
    rng = np.random.default_rng(5)
    logits = at_all_shifts(3 * np.eye(CLASSES)[LABELS])
    distance = np.abs(np.vstack([[0, 0], GRID.shifts])).max(axis=1)
    logits = logits + 0.3 * distance[:, None] * rng.normal(size=logits.shape)
    table = observe(logits)
    values = evaluate(table, ["worst_case_accuracy", "shifted_accuracy", "accuracy"])
    rows = profile_by_radius(table, 1.0)
    worst, shifted, unshifted = (summary.value for summary in values.values())
    assert worst is not None
    assert shifted is not None
    assert worst < shifted < 1
    assert unshifted == 1
    assert (np.diff(rows.worst_case_accuracy) < 0).all()
    assert (np.diff(rows.consistency) < 0).all()
    assert rows.worst_case_accuracy[-1] == pytest.approx(worst)


def test_curves_of_a_perfect_classifier_are_flat_and_their_interval_does_not_collapse() -> None:
    rows = profile_by_radius(perfect_classifier(), 1.0)
    assert rows.radius == [1, 2, 3]
    assert rows.pairs == [8 * IMAGES, 16 * IMAGES, 24 * IMAGES]
    for name in ("accuracy", "consistency", "worst_case_accuracy", "survival"):
        assert getattr(rows, name) == [1, 1, 1]
    assert all(low < 1 and high == 1 for low, high in rows.consistency_ci95)
