"""Group shifts by their radius |d|∞, and find the smallest radius at which an image fails."""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Bool, Int, Real
from cnnshift.metrics.shift_groups import Groups
from cnnshift.observations import Observations


def group_by_radius(observations: Observations) -> tuple[Real[np.ndarray, " r"], Groups]:
    """Return the distinct radii in px, ascending, and for every shift the index of its radius."""
    radius = observations.radius
    radii, groups = np.unique(radius, return_inverse=True)
    return radii, groups.reshape(radius.shape)


def find_failing_radius(holds: Bool[np.ndarray, "n s"], groups: Groups, number: int) -> Int[np.ndarray, " n"]:
    """Return for every image the index of the smallest radius at which `holds` is false for a shift.

    Args:
        holds: per image and shift, whether the image passes.
        groups: index of the radius of every shift.
        number: number of radii.

    Returns:
        The index; `number` for an image that passes at all shifts.

    Example:
        >>> holds = np.array([[True, False, False], [True, True, True]])
        >>> find_failing_radius(holds, np.array([0, 2, 1]), 3)
        array([1, 3])
    """
    return np.where(holds, number, groups).min(axis=1)
