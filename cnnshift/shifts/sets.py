"""Which shifts a sweep takes: every set is enumerated, never sampled, but `random:K`, which says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from cnnshift.errors import InputError

NAMES = ("grid", "full", "axis", "diagonal", "random:K")


@dataclass(frozen=True, slots=True)
class ShiftSet:
    """The shifts of a sweep, without (0, 0), which is the reference.

    Attributes:
        name: as on the command line.
        shifts: (dy, dx) in pixels, the same for all images, or a set per image.
        neighbours: pairs of indices into [reference, *shifts] one step apart along a row, a column or (diagonal set)
            the diagonal; None where the shifts form no path.
        exhaustive: whether these are all shifts up to the largest one.
    """

    name: str
    shifts: Int[np.ndarray, "s 2"] | Int[np.ndarray, "n s 2"]
    neighbours: Int[np.ndarray, "p 2"] | None
    exhaustive: bool

    @property
    def count(self) -> int:
        """Number of shifts per image."""
        return self.shifts.shape[-2]

    @property
    def reach(self) -> int:
        """Largest |d|∞ in pixels."""
        return int(np.abs(self.shifts).max())


def enumerate_shifts(
    name: str, *, max_shift: int, step: int, size: tuple[int, int], wraps: bool, images: int, seed: int = 0
) -> ShiftSet:
    """Enumerate a shift set.

    `grid` has all shifts with |d|∞ ≤ R on the multiples of the step; `axis` those on the two axes; `diagonal` those
    with |dy| = |dx|; `full` all H·W circular shifts; `random:K` has K distinct shifts of the grid for each image.
    Under a wrapping protocol shifts are taken modulo (H, W), as the representative nearest to 0, and duplicates are
    dropped: the same image twice must not count as agreement.

    Args:
        name: one of `NAMES`.
        max_shift: R, in pixels; `full` takes no notice of it.
        step: spacing of the grid in pixels; `full` takes no notice of it.
        size: (H, W) of the image that the model sees.
        wraps: whether the protocol is periodic.
        images: number of images, for `random:K`.
        seed: of `random:K`.

    Raises:
        InputError: unknown set; R below the step, or not below the image's smaller side; `full` under a protocol that
            does not wrap; K that is not a whole number from 1 to the size of the grid.
    """
    height, width = size
    if name == "full":
        if not wraps:
            raise InputError("The shift set 'full' is the set of all circular shifts; this protocol is not circular.")
        return _enumerated("full", _lattice(range(height), range(width)), 1, size, wraps, exhaustive=True)
    if step < 1:
        raise InputError(f"step is {step}; allowed: whole pixels from 1.")
    if not step <= max_shift < min(size):
        raise InputError(
            f"max-shift is {max_shift}; allowed: {step} (the step) to {min(size) - 1} "
            f"(one less than the smaller side of the {height}×{width} images)."
        )
    reach = max_shift - max_shift % step
    offsets = range(-reach, reach + 1, step)
    grid = _lattice(offsets, offsets)
    if name == "grid":
        return _enumerated(name, grid, step, size, wraps, exhaustive=step == 1)
    if name == "axis":
        return _enumerated(name, grid[(grid == 0).any(axis=1)], step, size, wraps, exhaustive=False)
    if name == "diagonal":
        return _enumerated(name, grid[abs(grid[:, 0]) == abs(grid[:, 1])], step, size, wraps, exhaustive=False)
    kind, _, count = name.partition(":")
    if kind == "random":
        grid = _canonical(grid, size, wraps)
        if not count.isdecimal() or not 1 <= int(count) <= len(grid):
            raise InputError(
                f"The shift set '{name}' asks for '{count}' shifts; allowed: random:1 to random:{len(grid)}."
            )
        # RandomState, because its stream is frozen for ever (NEP 19): the set must outlive numpy's versions.
        draws = np.random.RandomState(seed).random_sample((images, len(grid)))
        chosen = np.argsort(draws, axis=1, kind="stable")[:, : int(count)]
        return ShiftSet(name, grid[chosen], None, exhaustive=False)
    raise InputError(f"Unknown shift set '{name}'; allowed: {', '.join(NAMES)}.")


def _lattice(rows: range, columns: range) -> Int[np.ndarray, "s 2"]:
    return np.array([(dy, dx) for dy in rows for dx in columns], dtype=np.int32)


def _canonical(shifts: Int[np.ndarray, "s 2"], size: tuple[int, int], wraps: bool) -> Int[np.ndarray, "r 2"]:
    if wraps:
        modulus = np.array(size, dtype=np.int32)
        shifts = (shifts + (modulus - 1) // 2) % modulus - (modulus - 1) // 2
    shifts = np.unique(shifts, axis=0)
    return shifts[shifts.any(axis=1)]


def _enumerated(
    name: str, shifts: Int[np.ndarray, "s 2"], step: int, size: tuple[int, int], wraps: bool, *, exhaustive: bool
) -> ShiftSet:
    shifts = _canonical(shifts, size, wraps)
    column = {(0, 0): 0} | {(int(dy), int(dx)): i + 1 for i, (dy, dx) in enumerate(shifts)}
    directions = [(step, step), (step, -step)] if name == "diagonal" else [(step, 0), (0, step)]
    pairs = set()
    for (dy, dx), i in column.items():
        for vertical, horizontal in directions:
            there = np.array([[dy + vertical, dx + horizontal]])
            if wraps:
                there = (there + (np.array(size) - 1) // 2) % size - (np.array(size) - 1) // 2
            j = column.get((int(there[0, 0]), int(there[0, 1])))
            if j is not None and j != i:
                pairs.add((min(i, j), max(i, j)))
    return ShiftSet(name, shifts, np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2), exhaustive)
