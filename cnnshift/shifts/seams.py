"""Distance of equivariance errors from the wrap-around boundary.

A layer with padding replaces the values beyond the border of its input. A circular shift moves the border of the image
but not that of the layer, so errors due to padding lie along two lines per axis, the seams: the border of the layer,
before position 0, and the shifted border of the image, before position `shift`. Errors due to aliasing occur anywhere.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def seam_distances(size: int, shift: int) -> Int[np.ndarray, " size"]:
    """Return the distance of every row (or column) from the nearer seam; 1 is adjacent.

    If the shift along this axis is 0, the two seams coincide and cause no error; all distances are then `size`.
    """
    if not shift % size:
        return np.full(size, size)
    index = np.arange(size)
    return np.minimum(*(np.minimum((index - seam) % size, (seam - 1 - index) % size) + 1 for seam in (0, shift)))


def seam_reach(violations: Bool[np.ndarray, "h w"], shift: tuple[int, int]) -> int:
    """Return the largest distance of a violation from the nearest seam; 0 if there is none."""
    return int(_distances(violations.shape, shift)[violations].max(initial=0))


def stays_at_border(violations: Bool[np.ndarray, "h w"], shift: tuple[int, int]) -> bool | None:
    """Return whether violations extend at most half as far from the seams as the map does.

    `shift` is that of the output in its own pixels, not (0, 0). None if no position is 2 or more away from the seams.
    """
    farthest = _distances(violations.shape, shift).max()
    return None if farthest < 2 else 2 * seam_reach(violations, shift) <= int(farthest)


def _distances(shape: tuple[int, ...], shift: tuple[int, int]) -> Int[np.ndarray, "h w"]:
    rows, columns = (seam_distances(size, d) for size, d in zip(shape, shift, strict=True))
    return np.minimum(rows[:, None], columns[None, :])
