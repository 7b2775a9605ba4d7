"""Shift sets: enumerated, distinct, without the reference, and with the right neighbours."""

import numpy as np
import pytest

from cnnshift.errors import InputError
from cnnshift.shifts.sets import enumerate_shifts


def make(name, **changes):
    options = {"max_shift": 3, "step": 1, "size": (8, 8), "wraps": False, "images": 5} | changes
    return enumerate_shifts(name, **options)


def as_set(shift_set):
    return {tuple(d) for d in shift_set.shifts.tolist()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grid", {(y, x) for y in range(-3, 4) for x in range(-3, 4)} - {(0, 0)}),
        ("axis", {(y, 0) for y in range(-3, 4)} | {(0, x) for x in range(-3, 4)} - {(0, 0)}),
        ("diagonal", {(s * r, t * r) for r in (1, 2, 3) for s in (-1, 1) for t in (-1, 1)}),
    ],
)
def test_enumerated_sets_hold_exactly_their_shifts(name, expected):
    found = make(name)
    assert as_set(found) == expected - {(0, 0)}
    assert len(found.shifts) == len(as_set(found))


def test_full_holds_every_circular_shift_once():
    found = make("full", size=(4, 6), wraps=True)
    assert {(dy % 4, dx % 6) for dy, dx in as_set(found)} == {(y, x) for y in range(4) for x in range(6)} - {(0, 0)}
    assert found.count == 23
    assert found.exhaustive
    assert found.reach == 3


def test_circular_shifts_that_coincide_are_taken_once():
    # −4 and 4 are the same shift of 8 pixels.
    found = make("grid", max_shift=4, wraps=True)
    assert found.count == 8 * 8 - 1
    assert -4 not in found.shifts


@pytest.mark.parametrize(("max_shift", "step", "reach"), [(7, 2, 6), (6, 3, 6), (5, 5, 5)])
def test_step_keeps_multiples_of_itself(max_shift, step, reach):
    found = make("grid", max_shift=max_shift, step=step, size=(9, 9))
    assert not (found.shifts % step).any()
    assert found.reach == reach


def test_random_draws_distinct_shifts_for_every_image():
    found = make("random:10", images=50)
    assert found.shifts.shape == (50, 10, 2)
    for own in found.shifts:
        assert len({tuple(d) for d in own.tolist()}) == 10
        assert not (own == 0).all(axis=1).any()
    assert found.neighbours is None
    assert not found.exhaustive
    # Every shift of the grid is drawn by somebody: 500 draws from 48.
    assert len({tuple(d) for d in found.shifts.reshape(-1, 2).tolist()}) == 48


def test_random_is_seeded():
    assert (make("random:4").shifts == make("random:4").shifts).all()
    assert (make("random:4", seed=1).shifts != make("random:4").shifts).any()


@pytest.mark.parametrize(("name", "wraps"), [("grid", False), ("axis", False), ("diagonal", False), ("full", True)])
def test_neighbours_are_one_step_apart(name, wraps):
    found = make(name, wraps=wraps)
    positions = np.concatenate([[[0, 0]], found.shifts])
    gap = np.abs(positions[found.neighbours[:, 0]] - positions[found.neighbours[:, 1]])
    if wraps:
        gap = np.minimum(gap, 8 - gap)
    expected = {(1, 1)} if name == "diagonal" else {(0, 1), (1, 0)}
    assert {tuple(g) for g in gap.tolist()} == expected
    assert len({tuple(p) for p in found.neighbours.tolist()}) == len(found.neighbours)


@pytest.mark.parametrize(
    ("name", "wraps", "count"),
    [("grid", False, 2 * 7 * 6), ("axis", False, 2 * 6), ("diagonal", False, 2 * 6), ("full", True, 2 * 64)],
)
def test_number_of_neighbours_matches_the_closed_form(name, wraps, count):
    assert len(make(name, wraps=wraps).neighbours) == count


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("grid", {"max_shift": 8}, ["max-shift is 8", "1", "7"]),
        ("grid", {"max_shift": 1, "step": 2}, ["max-shift is 1", "2"]),
        ("grid", {"step": 0}, ["step is 0"]),
        ("full", {}, ["not circular"]),
        ("random:0", {}, ["random:1", "random:48"]),
        ("random:49", {}, ["random:48"]),
        ("random:x", {}, ["'x'"]),
        ("spiral", {}, ["spiral", "grid, full, axis, diagonal, random:K"]),
    ],
)
def test_what_cannot_be_enumerated_is_an_error(name, changes, words):
    with pytest.raises(InputError) as caught:
        make(name, **changes)
    assert all(word in str(caught.value) for word in words)
