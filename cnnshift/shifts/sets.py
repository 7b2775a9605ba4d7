"""Shift sets: the shifts that a sweep evaluates. All are enumerated completely except `random:K`, which is sampled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int, Real

from cnnshift.catalog import PROTOCOLS
from cnnshift.errors import InputError

NAMES = ("grid", "full", "axis", "diagonal", "random:K")


@dataclass(frozen=True, slots=True)
class ShiftSet:
    """The shifts of a sweep, without (0, 0), which is the reference.

    Shifts are stored as integer numerators over one denominator, so that comparing, negating and wrapping them is
    exact.

    Attributes:
        name: name on the command line.
        numerators: (dy, dx) in units of 1/denominator pixel, shared by all images or one set per image.
        neighbours: pairs of indices into [reference, *shifts] that lie one step apart along a row, a column or (set
            `diagonal`) a diagonal; None if the shifts form no path.
        exhaustive: whether the set holds exactly all whole-pixel shifts up to the largest one.
        step: spacing in pixels.
    """

    name: str
    numerators: Int[np.ndarray, "s 2"] | Int[np.ndarray, "n s 2"]
    neighbours: Int[np.ndarray, "p 2"] | None
    exhaustive: bool
    step: Fraction = Fraction(1)

    @property
    def denominator(self) -> int:
        """1 for whole pixels."""
        return self.step.denominator

    @property
    def shifts(self) -> Real[np.ndarray, "s 2"] | Real[np.ndarray, "n s 2"]:
        """(dy, dx) in pixels: integers, or the float64 numbers nearest to the fractions."""
        return self.numerators if self.denominator == 1 else self.numerators / self.denominator

    @property
    def count(self) -> int:
        """Number of shifts per image."""
        return self.numerators.shape[-2]

    @property
    def largest(self) -> Fraction:
        """Largest |d|∞ in pixels."""
        return Fraction(int(np.abs(self.numerators).max()), self.denominator)

    @property
    def reach(self) -> int:
        """Largest |d|∞ rounded up to whole pixels: the `reach` that a protocol needs."""
        return math.ceil(self.largest)


def enumerate_shifts(
    name: str,
    *,
    max_shift: int | Fraction,
    step: int | Fraction,
    size: tuple[int, int],
    wraps: bool,
    images: int,
    fractional: bool = False,
    seed: int = 0,
) -> ShiftSet:
    """Enumerate a shift set.

    - `grid`: all multiples of the step with |d|∞ ≤ R.
    - `axis`: the shifts of `grid` with dy = 0 or dx = 0.
    - `diagonal`: the shifts of `grid` with |dy| = |dx|.
    - `random:K`: K distinct shifts of `grid` for each image.
    - `full`: all H·W circular whole-pixel shifts; ignores R and the step.

    R is `max_shift`; it and the step are in pixels, `size` is (H, W) of the window. `images` and `seed` matter for
    `random:K` only. Under a periodic protocol (`wraps`), shifts are reduced modulo (H, W) to the representative nearest
    to 0 and duplicates are dropped, because comparing an image with itself would count as agreement.

    Raises:
        InputError: the set is unknown; R is below the step or not below the shorter side; a fraction is used with a
            whole-pixel protocol, or `full` with a protocol that is not periodic; K is not an integer from 1 to the
            size of the grid.
    """
    height, width = size
    if name == "full":
        if not wraps:
            raise InputError("The shift set 'full' contains all circular shifts; it needs a periodic protocol.")
        return _enumerated(name, _lattice(range(height), range(width)), Fraction(1), size, wraps, exhaustive=True)
    _check_lengths(max_shift, step, size, fractional=fractional)
    # From here on, all lengths are in units of 1/denominator pixel.
    step = Fraction(step)
    spacing, denominator = step.as_integer_ratio()
    reach, period = int(max_shift // step) * spacing, (height * denominator, width * denominator)
    offsets = range(-reach, reach + 1, spacing)
    grid = _lattice(offsets, offsets)
    kind, _, count = name.partition(":")
    if kind == "random":
        grid = _canonical(grid, period, wraps)
        if not count.isdecimal() or not 1 <= int(count) <= len(grid):
            raise InputError(f"The shift set is '{name}'; allowed: random:1 to random:{len(grid)}.")
        # RandomState, because NumPy guarantees that its stream never changes (NEP 19).
        draws = np.random.RandomState(seed).random_sample((images, len(grid)))
        chosen = np.argsort(draws, axis=1, kind="stable")[:, : int(count)]
        return ShiftSet(name, grid[chosen], None, exhaustive=False, step=step)
    if name == "axis":
        grid = grid[(grid == 0).any(axis=1)]
    elif name == "diagonal":
        grid = grid[abs(grid[:, 0]) == abs(grid[:, 1])]
    elif name != "grid":
        raise InputError(f"Unknown shift set '{name}'; allowed: {', '.join(NAMES)}.")
    return _enumerated(name, grid, step, period, wraps, exhaustive=name == "grid" and step == 1)


def _check_lengths(max_shift: int | Fraction, step: int | Fraction, size: tuple[int, int], *, fractional: bool) -> None:
    for option, value in (("max-shift", max_shift), ("step", step)):
        if value <= 0:
            raise InputError(f"{option} is {value}; it must be above 0 pixels.")
        if value % 1 and not fractional:
            names = " and ".join(protocol for protocol in PROTOCOLS if PROTOCOLS.load(protocol).fractional)
            raise InputError(
                f"{option} is {value}; allowed: whole pixels. Only the protocols {names} support fractions of a pixel."
            )
    if not step <= max_shift < min(size):
        raise InputError(
            f"max-shift is {max_shift}; allowed: {step} (the step) to {min(size) - 1} "
            f"(one less than the shorter side of the {size[0]}×{size[1]} images)."
        )


def _lattice(rows: range, columns: range) -> Int[np.ndarray, "s 2"]:
    return np.array([(dy, dx) for dy in rows for dx in columns], dtype=np.int32)


def _wrap(shifts: Int[np.ndarray, "s 2"], period: tuple[int, int]) -> Int[np.ndarray, "s 2"]:
    """Reduce shifts modulo the period to the representative nearest to 0."""
    modulus = np.array(period, dtype=np.int32)
    return (shifts + (modulus - 1) // 2) % modulus - (modulus - 1) // 2


def _canonical(shifts: Int[np.ndarray, "s 2"], period: tuple[int, int], wraps: bool) -> Int[np.ndarray, "r 2"]:
    """Return the distinct shifts in ascending order, without (0, 0)."""
    shifts = np.unique(_wrap(shifts, period) if wraps else shifts, axis=0)
    return shifts[shifts.any(axis=1)]


def _enumerated(
    name: str,
    shifts: Int[np.ndarray, "s 2"],
    step: Fraction,
    period: tuple[int, int],
    wraps: bool,
    *,
    exhaustive: bool,
) -> ShiftSet:
    """Build a set with its neighbours; shifts and period are in units of 1/denominator of the step."""
    shifts = _canonical(shifts, period, wraps)
    positions = np.concatenate([np.zeros((1, 2), np.int32), shifts])
    indices = {(int(dy), int(dx)): i for i, (dy, dx) in enumerate(positions)}
    pairs, spacing = set(), step.numerator
    for direction in [(spacing, spacing), (spacing, -spacing)] if name == "diagonal" else [(spacing, 0), (0, spacing)]:
        targets = positions + np.array(direction, np.int32)
        for i, (dy, dx) in enumerate(_wrap(targets, period) if wraps else targets):
            j = indices.get((int(dy), int(dx)))
            if j is not None and j != i:
                pairs.add((min(i, j), max(i, j)))
    neighbours = np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2)
    return ShiftSet(name, shifts, neighbours, exhaustive, step)
