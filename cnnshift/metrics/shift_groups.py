"""Group shifts by radius and phase; count and average the (image, shift) pairs of every group."""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Bool, Float, Int, Real, Shaped
from cnnshift.observations import Observations
from cnnshift.stats.intervals import mean_interval

Groups = Int[np.ndarray, " s"] | Int[np.ndarray, "n s"]
"""Index of the group of every shift, for all images or per image."""


def group_by_radius(observations: Observations) -> tuple[Real[np.ndarray, " r"], Groups]:
    """Return the distinct radii |d|∞ in px, ascending, and for every shift the index of its radius."""
    radius = observations.radius
    radii, groups = np.unique(radius, return_inverse=True)
    return radii, groups.reshape(radius.shape)


def shift_phases(observations: Observations, stride: int) -> tuple[Int[np.ndarray, "*s 2"], Bool[np.ndarray, "*s"]]:
    """Return the phase d mod `stride` of every shift, rounded to whole pixels, and whether the shift is whole."""
    nearest = np.rint(observations.shifts).astype(np.int64)
    return nearest % stride, (observations.shifts == nearest).all(axis=-1)


def find_failing_radius(holds: Bool[np.ndarray, "n s"], groups: Groups, number: int) -> Int[np.ndarray, " n"]:
    """Return for every image the index of the smallest radius (of `number`) at which `holds` is false for a shift.

    The index is `number` for an image whose row holds at all shifts.

    Example:
        >>> holds = np.array([[True, False, False], [True, True, True]])
        >>> find_failing_radius(holds, np.array([0, 2, 1]), 3)
        array([1, 3])
    """
    return np.where(holds, number, groups).min(axis=1)


def count_by_group(groups: Groups, images: int, number: int) -> Int[np.ndarray, "n {number}"]:
    """Count the shifts of every image in each of `number` groups.

    Example:
        >>> count_by_group(np.array([[2, 0, 2], [1, 1, 1]]), 2, 3).tolist()
        [[1, 0, 2], [0, 3, 0]]
    """
    cells = groups + number * np.arange(images)[:, None]
    return np.bincount(cells.ravel(), minlength=images * number).reshape(images, number)


def average_by_group(values: Shaped[np.ndarray, "n s"], groups: Groups, number: int) -> Float[np.ndarray, "n {number}"]:
    """Average values over the shifts of every image in each of `number` groups; NaN where a group has no shift.

    Example:
        >>> average_by_group(np.array([[True, False, True]]), np.array([0, 0, 2]), 3)
        array([[0.5, nan, 1. ]])
    """
    images = len(values)
    cells = groups + number * np.arange(images)[:, None]
    sums = np.bincount(cells.ravel(), weights=values.ravel(), minlength=images * number).reshape(images, number)
    counts = count_by_group(groups, images, number)
    return np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan)


def mean_intervals(fractions: Float[np.ndarray, "n g"]) -> list[tuple[float, float]]:
    """Return the 95 % interval over images of the mean fraction in every group; NaN marks images that do not count."""
    intervals = [mean_interval(column[~np.isnan(column)], bounds=(0.0, 1.0)) for column in fractions.T]
    return [(interval.low, interval.high) for interval in intervals]
