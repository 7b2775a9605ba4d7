"""Shifts grouped by their radius |d|∞, and the first radius at which an image fails."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Real

from cnnshift.observations import Observations

Rings = Int[np.ndarray, " s"] | Int[np.ndarray, "n s"]


def group_by_radius(observations: Observations) -> tuple[Real[np.ndarray, " r"], Rings]:
    """Find the radii of a shift set, ascending, and for every shift the index of its radius.

    Returns:
        Radii in pixels, and indices into them of the shape of `observations.radius`.
    """
    radius = observations.radius
    radii, ring = np.unique(radius, return_inverse=True)
    return radii, ring.reshape(radius.shape)


def find_failing_radius(holds: Bool[np.ndarray, "n s"], ring: Rings, number: int) -> Int[np.ndarray, " n"]:
    """Find for every image the smallest radius with a shift for which `holds` is false.

    Args:
        holds: per image and shift, whether the image passes.
        ring: index of every shift's radius.
        number: number of radii.

    Returns:
        Index of that radius; `number` for an image that never fails.

    Example:
        >>> holds = np.array([[True, False, False], [True, True, True]])
        >>> find_failing_radius(holds, np.array([0, 2, 1]), 3)
        array([1, 3])
    """
    return np.where(holds, number, ring).min(axis=1)
