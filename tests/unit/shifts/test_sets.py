"""Shift sets: complete, distinct, without the reference, and with the right neighbours."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
def test_sets_contain_exactly_their_shifts(name, expected):
    found = make(name)
    assert as_set(found) == expected - {(0, 0)}
    assert len(found.shifts) == len(as_set(found))


def test_full_contains_every_circular_shift_once():
    found = make("full", size=(4, 6), wraps=True)
    assert {(dy % 4, dx % 6) for dy, dx in as_set(found)} == {(y, x) for y in range(4) for x in range(6)} - {(0, 0)}
    assert found.count == 23
    assert found.exhaustive
    assert found.reach == 3


def test_equal_circular_shifts_occur_once():
    # −4 and 4 are the same shift of 8 pixels.
    found = make("grid", max_shift=4, wraps=True)
    assert found.count == 8 * 8 - 1
    assert -4 not in found.shifts


@pytest.mark.parametrize(("max_shift", "step", "reach"), [(7, 2, 6), (6, 3, 6), (5, 5, 5)])
def test_shifts_are_multiples_of_the_step(max_shift, step, reach):
    found = make("grid", max_shift=max_shift, step=step, size=(9, 9))
    assert not (found.shifts % step).any()
    assert found.reach == reach


def test_random_draws_distinct_shifts_for_every_image():
    found = make("random:10", images=50)
    assert found.shifts.shape == (50, 10, 2)
    for shifts in found.shifts:
        assert len({tuple(d) for d in shifts.tolist()}) == 10
        assert not (shifts == 0).all(axis=1).any()
    assert found.neighbours is None
    assert not found.exhaustive
    # 500 draws contain each of the 48 shifts of the grid.
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
    ("name", "changes", "fragments"),
    [
        ("grid", {"max_shift": 8}, ["max-shift is 8", "1", "7"]),
        ("grid", {"max_shift": 1, "step": 2}, ["max-shift is 1", "2"]),
        ("grid", {"step": 0}, ["step is 0"]),
        ("grid", {"step": Fraction(1, 3)}, ["step is 1/3", "fourier and bilinear", "whole pixels"]),
        ("axis", {"max_shift": Fraction(5, 2)}, ["max-shift is 5/2", "fourier and bilinear"]),
        ("grid", {"step": Fraction(2, 3), "max_shift": Fraction(1, 3), "fractional": True}, ["1/3", "2/3 (the step)"]),
        ("full", {}, ["periodic protocol"]),
        ("random:0", {}, ["random:1", "random:48"]),
        ("random:49", {}, ["random:48"]),
        ("random:x", {}, ["'random:x'"]),
        ("spiral", {}, ["spiral", "grid, full, axis, diagonal, random:K"]),
    ],
)
def test_invalid_sets_are_refused(name, changes, fragments):
    with pytest.raises(InputError) as caught:
        make(name, **changes)
    assert all(fragment in str(caught.value) for fragment in fragments)


def brute_force(name, max_shift, step, size, wraps):
    """Enumerate all multiples of the step up to the largest shift as fractions, wrapped one period at a time."""
    line = [k * step for k in range(-200, 201) if abs(k * step) <= max_shift]
    shifts = {(dy, dx) for dy in line for dx in line}
    if name == "axis":
        shifts = {(dy, dx) for dy, dx in shifts if not (dy and dx)}
    if name == "diagonal":
        shifts = {(dy, dx) for dy, dx in shifts if abs(dy) == abs(dx)}

    def nearest(d, side):
        if not wraps:
            return d
        # The representative in (−side/2, side/2].
        while d > Fraction(side, 2):
            d -= side
        while d <= -Fraction(side, 2):
            d += side
        return d

    return {(nearest(dy, size[0]), nearest(dx, size[1])) for dy, dx in shifts} - {(0, 0)}


@pytest.mark.parametrize("name", ["grid", "axis", "diagonal"])
@given(
    step=st.fractions(min_value=Fraction(1, 5), max_value=2, max_denominator=5),
    times=st.integers(1, 9),
    size=st.tuples(st.integers(4, 7), st.integers(4, 7)),
    wraps=st.booleans(),
)
def test_fractional_sets_contain_exactly_their_shifts(name, step, times, size, wraps):
    max_shift = min(times * step, min(size) - Fraction(1, 7))
    found = make(name, step=step, max_shift=max_shift, size=size, wraps=wraps, fractional=True)
    exact = [
        (Fraction(int(dy), found.denominator), Fraction(int(dx), found.denominator)) for dy, dx in found.numerators
    ]
    expected = brute_force(name, max_shift, step, size, wraps)
    assert set(exact) == expected
    assert exact == sorted(expected)
    assert found.largest == max(max(map(abs, d)) for d in expected)
    assert found.reach == -(-found.largest.numerator // found.largest.denominator)
    assert [tuple(d) for d in found.shifts.tolist()] == [(float(dy), float(dx)) for dy, dx in exact]
    # Neighbours are one step apart, across the periodic boundary too.
    places = {d: i for i, d in enumerate([(Fraction(0), Fraction(0)), *exact])}
    steps = [(step, step), (step, -step)] if name == "diagonal" else [(step, 0), (0, step)]
    pairs, at = set(), {}

    def place(dy, dx):
        return (dy % size[0], dx % size[1]) if wraps else (dy, dx)

    for d, i in places.items():
        at.setdefault(place(*d), []).append(i)
    for (dy, dx), i in places.items():
        for a, b in steps:
            pairs |= {(min(i, j), max(i, j)) for j in at.get(place(dy + a, dx + b), []) if i != j}
    assert {tuple(pair) for pair in found.neighbours.tolist()} == pairs


def test_whole_shifts_stay_whole_numbers():
    found = make("grid", step=Fraction(2), max_shift=Fraction(3), fractional=True)
    assert found.shifts.dtype == np.int32
    np.testing.assert_array_equal(found.shifts, make("grid", step=2).shifts)
    assert (found.denominator, found.largest, found.reach) == (1, 2, 2)
    thirds = make("grid", step=Fraction(1, 3), max_shift=2, fractional=True)
    assert (thirds.count, thirds.denominator, thirds.exhaustive) == (168, 3, False)
    assert thirds.shifts.dtype == np.float64


def test_equal_fractions_are_equal_floats():
    # Radii rely on it: every shift is one quotient, rounded once.
    found = make("grid", step=Fraction(1, 3), max_shift=2, size=(9, 9), fractional=True)
    assert sorted(set(np.abs(found.shifts).ravel().tolist())) == [k / 3 for k in range(7)]


def test_random_fractions_are_distinct_grid_shifts():
    found = make("random:20", step=Fraction(1, 3), max_shift=1, fractional=True)
    grid = {tuple(d) for d in make("grid", step=Fraction(1, 3), max_shift=1, fractional=True).numerators.tolist()}
    for shifts in found.numerators.tolist():
        assert len({tuple(d) for d in shifts}) == 20
        assert {tuple(d) for d in shifts} <= grid
    assert found.shifts.shape == (5, 20, 2)


def test_full_ignores_the_step():
    found = make("full", step=Fraction(1, 3), wraps=True, fractional=True)
    assert (found.count, found.denominator, found.shifts.dtype) == (63, 1, np.int32)
