"""Which shifts a sweep takes: every set is enumerated, never sampled, but `random:K`, which says so."""

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

    Attributes:
        name: as on the command line.
        units: (dy, dx), the same for all images, or a set per image, in whole parts of a pixel: which shifts are
            equal, or opposite, or one turn of the torus apart, no rounding decides.
        neighbours: pairs of indices into [reference, *shifts] one step apart along a row, a column or (diagonal set)
            the diagonal; None where the shifts form no path.
        exhaustive: whether these are all shifts by whole pixels up to the largest one, and no others.
        parts: a unit is 1/parts pixel; 1 for whole pixels.
    """

    name: str
    units: Int[np.ndarray, "s 2"] | Int[np.ndarray, "n s 2"]
    neighbours: Int[np.ndarray, "p 2"] | None
    exhaustive: bool
    parts: int = 1

    @property
    def shifts(self) -> Real[np.ndarray, "s 2"] | Real[np.ndarray, "n s 2"]:
        """(dy, dx) in pixels: whole numbers, or the 64-bit numbers nearest to the fractions."""
        return self.units if self.parts == 1 else self.units / self.parts

    @property
    def count(self) -> int:
        """Number of shifts per image."""
        return self.units.shape[-2]

    @property
    def largest(self) -> Fraction:
        """Largest |d|∞ in pixels."""
        return Fraction(int(np.abs(self.units).max()), self.parts)

    @property
    def reach(self) -> int:
        """The same in whole pixels: what a protocol must be able to reach."""
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

    `grid` has all shifts with |d|∞ ≤ R on the multiples of the step; `axis` those on the two axes; `diagonal` those
    with |dy| = |dx|; `full` all H·W circular shifts by whole pixels, under every protocol that wraps; `random:K` has K
    distinct shifts of the grid for each image. A step that is a fraction of a pixel makes the same sets of it.
    Under a wrapping protocol shifts are taken modulo (H, W), as the representative nearest to 0, and duplicates are
    dropped: the same image twice must not count as agreement.

    Args:
        name: one of `NAMES`.
        max_shift: R, in pixels; `full` takes no notice of it.
        step: spacing of the grid in pixels; `full` takes no notice of it.
        size: (H, W) of the image that the model sees.
        wraps: whether the protocol is periodic.
        images: number of images, for `random:K`.
        fractional: whether the protocol moves by fractions of a pixel.
        seed: of `random:K`.

    Raises:
        InputError: unknown set; R below the step, or not below the image's smaller side; a fraction under a protocol
            of whole pixels; `full` under a protocol that does not wrap; K that is not a whole number from 1 to the
            size of the grid.
    """
    height, width = size
    if name == "full":
        if not wraps:
            raise InputError("The shift set 'full' is the set of all circular shifts; this protocol is not circular.")
        return _enumerated("full", _lattice(range(height), range(width)), 1, size, wraps, exhaustive=True)
    for what, value in (("max-shift", max_shift), ("step", step)):
        if value <= 0:
            raise InputError(f"{what} is {value}; allowed: pixels above 0.")
        if value % 1 and not fractional:
            names = " and ".join(protocol for protocol in PROTOCOLS if PROTOCOLS.load(protocol).fractional)
            raise InputError(
                f"{what} is {value}, a fraction of a pixel, by which only the protocols {names} move; "
                f"allowed under the others: whole pixels."
            )
    if not step <= max_shift < min(size):
        raise InputError(
            f"max-shift is {max_shift}; allowed: {step} (the step) to {min(size) - 1} "
            f"(one less than the smaller side of the {height}×{width} images)."
        )
    # From here on all lengths are counted in parts of a pixel, of which the step is a whole number.
    spacing, parts = Fraction(step).as_integer_ratio()
    reach, turn = int(max_shift // step) * spacing, (height * parts, width * parts)
    offsets = range(-reach, reach + 1, spacing)
    grid = _lattice(offsets, offsets)
    if name == "grid":
        return _enumerated(name, grid, spacing, turn, wraps, exhaustive=step == 1, parts=parts)
    if name == "axis":
        axes = grid[(grid == 0).any(axis=1)]
        return _enumerated(name, axes, spacing, turn, wraps, exhaustive=False, parts=parts)
    if name == "diagonal":
        diagonals = grid[abs(grid[:, 0]) == abs(grid[:, 1])]
        return _enumerated(name, diagonals, spacing, turn, wraps, exhaustive=False, parts=parts)
    kind, _, count = name.partition(":")
    if kind == "random":
        grid = _canonical(grid, turn, wraps)
        if not count.isdecimal() or not 1 <= int(count) <= len(grid):
            raise InputError(
                f"The shift set '{name}' asks for '{count}' shifts; allowed: random:1 to random:{len(grid)}."
            )
        # RandomState, because its stream is frozen for ever (NEP 19): the set must outlive numpy's versions.
        draws = np.random.RandomState(seed).random_sample((images, len(grid)))
        chosen = np.argsort(draws, axis=1, kind="stable")[:, : int(count)]
        return ShiftSet(name, grid[chosen], None, exhaustive=False, parts=parts)
    raise InputError(f"Unknown shift set '{name}'; allowed: {', '.join(NAMES)}.")


def _lattice(rows: range, columns: range) -> Int[np.ndarray, "s 2"]:
    return np.array([(dy, dx) for dy in rows for dx in columns], dtype=np.int32)


def _canonical(shifts: Int[np.ndarray, "s 2"], turn: tuple[int, int], wraps: bool) -> Int[np.ndarray, "r 2"]:
    if wraps:
        modulus = np.array(turn, dtype=np.int32)
        shifts = (shifts + (modulus - 1) // 2) % modulus - (modulus - 1) // 2
    shifts = np.unique(shifts, axis=0)
    return shifts[shifts.any(axis=1)]


def _enumerated(
    name: str,
    shifts: Int[np.ndarray, "s 2"],
    step: int,
    turn: tuple[int, int],
    wraps: bool,
    *,
    exhaustive: bool,
    parts: int = 1,
) -> ShiftSet:
    shifts = _canonical(shifts, turn, wraps)
    column = {(0, 0): 0} | {(int(dy), int(dx)): i + 1 for i, (dy, dx) in enumerate(shifts)}
    directions = [(step, step), (step, -step)] if name == "diagonal" else [(step, 0), (0, step)]
    pairs = set()
    for (dy, dx), i in column.items():
        for vertical, horizontal in directions:
            there = np.array([[dy + vertical, dx + horizontal]])
            if wraps:
                there = (there + (np.array(turn) - 1) // 2) % turn - (np.array(turn) - 1) // 2
            j = column.get((int(there[0, 0]), int(there[0, 1])))
            if j is not None and j != i:
                pairs.add((min(i, j), max(i, j)))
    return ShiftSet(name, shifts, np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2), exhaustive, parts)
