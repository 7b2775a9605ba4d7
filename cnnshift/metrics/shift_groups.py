"""Values of (image, shift) pairs by groups of shifts: per image, and over the images, which are the sampling unit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Shaped

from cnnshift.stats.intervals import mean_interval

Groups = Int[np.ndarray, " s"] | Int[np.ndarray, "n s"]
"""Index of the group of every shift: the same shifts for all images, or every image's own."""


def count_by_group(groups: Groups, images: int, number: int) -> Int[np.ndarray, "n {number}"]:
    """Number of shifts of every image in every group."""
    cells = groups + number * np.arange(images)[:, None]
    return np.bincount(cells.ravel(), minlength=images * number).reshape(images, number)


def average_by_group(values: Shaped[np.ndarray, "n s"], groups: Groups, number: int) -> Float[np.ndarray, "n {number}"]:
    """Mean over the shifts of every image in every group; NaN where it has none.

    Args:
        values: one per image and shift, numbers or booleans.
        groups: index of every shift's group.
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


def mean_intervals(shares: Float[np.ndarray, "n g"]) -> Float[np.ndarray, "g 2"]:
    """95 % intervals over images of the mean share in every group, from one share (or NaN) per image."""
    found = [mean_interval(column[~np.isnan(column)], bounds=(0.0, 1.0)) for column in shares.T]
    return np.array([(interval.low, interval.high) for interval in found]).reshape(-1, 2)
