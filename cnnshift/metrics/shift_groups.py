"""Counts and means of (image, shift) pairs within groups: per image, and with intervals over images."""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Float, Int, Shaped
from cnnshift.stats.intervals import mean_interval

Groups = Int[np.ndarray, " s"] | Int[np.ndarray, "n s"]
"""Index of the group of every shift, for all images or per image."""


def count_by_group(groups: Groups, images: int, number: int) -> Int[np.ndarray, "n {number}"]:
    """Count the shifts of every image in every group.

    Args:
        groups: index of the group of every shift, from 0 to `number` − 1.
        images: number of images.
        number: number of groups.

    Example:
        >>> count_by_group(np.array([[2, 0, 2], [1, 1, 1]]), 2, 3).tolist()
        [[1, 0, 2], [0, 3, 0]]
    """
    cells = groups + number * np.arange(images)[:, None]
    return np.bincount(cells.ravel(), minlength=images * number).reshape(images, number)


def average_by_group(values: Shaped[np.ndarray, "n s"], groups: Groups, number: int) -> Float[np.ndarray, "n {number}"]:
    """Average values over the shifts of every image in every group; NaN where a group has no shift.

    Args:
        values: one per image and shift, numbers or booleans.
        groups: index of the group of every shift.
        number: number of groups.

    Example:
        >>> average_by_group(np.array([[True, False, True]]), np.array([0, 0, 2]), 3)
        array([[0.5, nan, 1. ]])
    """
    images = len(values)
    cells = groups + number * np.arange(images)[:, None]
    sums = np.bincount(cells.ravel(), weights=values.ravel(), minlength=images * number).reshape(images, number)
    counts = count_by_group(groups, images, number)
    return np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan)


def mean_intervals(fractions: Float[np.ndarray, "n g"]) -> Float[np.ndarray, "g 2"]:
    """Return the 95 % interval over images of the mean fraction in every group; NaN marks images that do not count."""
    intervals = [mean_interval(column[~np.isnan(column)], bounds=(0.0, 1.0)) for column in fractions.T]
    return np.array([(interval.low, interval.high) for interval in intervals]).reshape(-1, 2)
