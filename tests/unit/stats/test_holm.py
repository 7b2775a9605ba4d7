"""Holm's adjustment: values computed by hand and by a naive loop, and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnshift.stats.holm import holm

lists = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.02, 1.0]), max_size=12).map(np.array)


def adjust_naively(p: np.ndarray) -> list[float]:
    """Return the smallest level at which Holm's step-down procedure rejects each hypothesis."""
    adjusted = [0.0] * len(p)
    reached = 0.0
    left = list(range(len(p)))
    while left:
        smallest = min(left, key=lambda i: p[i])
        reached = max(reached, min(1.0, len(left) * p[smallest]))
        adjusted[smallest] = reached
        left.remove(smallest)
    return adjusted


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.01, 0.01], [0.03, 0.03, 0.03]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.05], [0.05]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([], []),
    ],
)
def test_values_by_hand(p: list[float], expected: list[float]) -> None:
    assert holm(np.array(p)) == pytest.approx(expected)


@given(lists)
def test_is_the_step_down_procedure(p: np.ndarray) -> None:
    adjusted = holm(p)
    assert adjusted == pytest.approx(adjust_naively(p), abs=1e-15)
    assert ((p <= adjusted) & (adjusted <= np.minimum(1, p.size * p))).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@given(lists)
def test_does_not_depend_on_the_order(p: np.ndarray) -> None:
    assert (holm(p[::-1])[::-1] == holm(p)).all()


def test_large_p_values_may_be_replaced_by_1() -> None:
    p = np.array([0.001, 0.3, 0.02, 0.9, 0.06])
    small = p <= 0.05
    assert (holm(np.where(small, p, 1.0))[small] == holm(p)[small]).all()


@pytest.mark.parametrize("p", [[-0.1, 0.5], [0.5, 1.1], [np.nan]])
def test_rejects_values_that_are_not_p_values(p: list) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(np.array(p))
