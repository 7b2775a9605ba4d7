"""Properties of the metrics of any model: bounds, symmetries, and inequalities between related metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnshift.catalog import METRICS
from cnnshift.metrics.base import Summary
from cnnshift.metrics.profiles import profile_by_radius
from cnnshift.observations import Observations
from cnnshift.shifts.sets import enumerate_shifts
from tests import simulated_observations
from tests.simulated_observations import evaluate

GRID = enumerate_shifts("grid", max_shift=2, step=1, size=(6, 6), wraps=False, images=1)
FIXED = settings(deadline=None, derandomize=True, max_examples=30)


def observe(logits: np.ndarray, labels: np.ndarray) -> Observations:
    """Return the observations of logits [n 25 k] over the grid, row 0 unshifted; the features are the logits."""
    return simulated_observations.observe(logits, labels, GRID.shifts, GRID.neighbours, features=logits, stride=2)


@st.composite
def raw(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw logits and labels of 1 to 30 images and 2 to 5 classes, from constant to unstable predictions."""
    images, classes = draw(st.integers(1, 30)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(classes, size=images)
    logits = draw(st.sampled_from([0.0, 1.0, 4.0])) * rng.normal(size=(images, 1, classes))
    logits = logits + draw(st.sampled_from([0.0, 3.0])) * np.eye(classes)[labels][:, None]
    logits = logits + draw(st.sampled_from([0.0, 0.3, 3.0])) * rng.normal(size=(1, 25, classes))
    logits = logits + draw(st.sampled_from([0.01, 1.0])) * rng.normal(size=(images, 25, classes))
    return logits, labels


def measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, Summary]:
    return evaluate(observe(logits, labels), METRICS)


def assert_same(a: dict[str, Summary], b: dict[str, Summary]) -> None:
    assert list(a) == list(b)
    for name, summary in a.items():
        assert summary.reason == b[name].reason
        assert summary.n == b[name].n
        if summary.value is not None:
            assert summary.value == pytest.approx(b[name].value, rel=1e-9, abs=1e-12), name


@FIXED
@given(raw())
def test_bounds(data: tuple[np.ndarray, np.ndarray]) -> None:
    for name, summary in measure(*data).items():
        spec = METRICS.load(name).spec
        if summary.value is None:
            assert summary.reason
            continue
        assert np.isfinite(summary.value)
        low, high = spec.bounds or (0.0, 2.0 if name == "invariance_radius" else np.inf)
        assert low <= summary.value <= high
        if summary.per_image is not None:
            counted = summary.per_image[~np.isnan(summary.per_image)]
            assert len(counted) == summary.n
            assert (counted >= low).all()
            assert (counted <= high).all()
            assert summary.value == pytest.approx(counted.mean())
        if summary.ci95 is not None:
            tolerance = 1e-12 * max(1.0, abs(summary.value))
            assert summary.ci95[0] - tolerance <= summary.value <= summary.ci95[1] + tolerance
            assert np.isfinite(summary.ci95).all()
            assert summary.ci95[0] >= low
            if spec.bounds is not None or name == "invariance_radius":
                assert low <= summary.ci95[0] < summary.ci95[1] <= high


@FIXED
@given(raw(), st.randoms(use_true_random=False))
def test_order_of_images_does_not_matter(data: tuple[np.ndarray, np.ndarray], random) -> None:
    logits, labels = data
    order = np.array(random.sample(range(len(labels)), len(labels)))
    plain, permuted = measure(logits, labels), measure(logits[order], labels[order])
    assert_same(plain, permuted)
    for name, summary in plain.items():
        moved = permuted[name].per_image
        if summary.per_image is not None and moved is not None:
            np.testing.assert_allclose(moved, summary.per_image[order], rtol=1e-9)


@FIXED
@given(raw(), st.randoms(use_true_random=False))
def test_names_of_classes_do_not_matter(data: tuple[np.ndarray, np.ndarray], random) -> None:
    logits, labels = data
    classes = logits.shape[2]
    renamed = np.array(random.sample(range(classes), classes))
    moved = np.empty_like(logits)
    moved[:, :, renamed] = logits
    assert_same(measure(logits, labels), measure(moved, renamed[labels]))


@FIXED
@given(raw())
def test_inequalities_between_related_metrics(data: tuple[np.ndarray, np.ndarray]) -> None:
    values: dict[str, Any] = {name: summary.value for name, summary in measure(*data).items()}
    slack = 1e-12
    assert values["pairwise_consistency_replacement"] >= values["pairwise_consistency"]
    assert values["worst_case_accuracy"] <= values["fidelity"] + slack
    assert values["fidelity"] <= min(values["accuracy"], values["shifted_accuracy"]) + slack
    assert values["kappa"] <= values["reference_consistency"] + slack
    if values["conditional_consistency"] is None:
        assert values["fidelity"] == 0
    else:
        product = values["accuracy"] * values["conditional_consistency"]
        assert values["fidelity"] == pytest.approx(product, abs=slack)
    # Two shifts that both agree with the unshifted image agree with each other.
    assert values["pairwise_consistency"] >= 2 * values["reference_consistency"] - 1 - slack


@FIXED
@given(raw())
def test_profiles_do_not_increase_with_the_radius(data: tuple[np.ndarray, np.ndarray]) -> None:
    table = observe(*data)
    rows = profile_by_radius(table, 1.0)
    survival, consistency, worst = (
        np.array(column) for column in (rows.survival, rows.consistency, rows.worst_case_accuracy)
    )
    low, high = np.transpose(rows.consistency_ci95)
    assert (np.diff(worst) <= 0).all()
    assert (np.diff(survival) <= 0).all()
    assert (survival <= consistency + 1e-12).all()
    assert (worst <= np.array(rows.accuracy) + 1e-12).all()
    assert (worst <= survival + 1e-12).all()
    assert (low <= consistency).all()
    assert (consistency <= high).all()
    assert (low < high).all()


@FIXED
@given(raw(), st.floats(0.1, 10), st.floats(-100, 100))
def test_logit_scale_and_offset_cancel(data: tuple[np.ndarray, np.ndarray], factor: float, offset: float) -> None:
    table = observe(*data)
    moved = replace(
        table,
        reference_logits=table.reference_logits * factor + offset,
        distance=table.distance * factor,
        logit_change=table.logit_change * factor,
        logit_square_change=table.logit_square_change * factor**2,
        shift_logit_change=table.shift_logit_change * factor,
    )
    names = ["sensitivity", "normalized_variance"]
    plain, scaled = evaluate(table, names), evaluate(moved, names)
    for name in names:
        assert (plain[name].value is None) == (scaled[name].value is None)
        if plain[name].value is not None:
            assert scaled[name].value == pytest.approx(plain[name].value, rel=1e-6)
