"""Where a shifted map and its layer disagree for reasons of the border.

A padding treats the border as special. Under a shift the border of the image at rest has moved, the layer's own has
not: a violation by the border lies along these two seams. Aliasing knows no seams.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def seam_distances(size: int, shift: int) -> Int[np.ndarray, " size"]:
    """Steps of every row (or column) from the nearer of the seams before 0 and before `shift`.

    Beyond all reach where nothing moves along this axis: its seams fall on each other, and no violation comes of them.
    """
    if not shift % size:
        return np.full(size, size)
    index = np.arange(size)
    seams = [np.minimum((index - seam) % size, (seam - 1 - index) % size) + 1 for seam in (0, shift)]
    return np.minimum(*seams)


def seam_reach(touched: Bool[np.ndarray, "h w"], shift: tuple[int, int]) -> int:
    """How many positions from the nearest seam a violation reaches: 1 is beside it, 0 where nothing is touched."""
    rows, columns = (seam_distances(size, d) for size, d in zip(touched.shape, shift, strict=True))
    return int(np.minimum(rows[:, None], columns[None, :])[touched].max(initial=0))


def stays_at_border(touched: Bool[np.ndarray, "h w"], shift: tuple[int, int]) -> bool | None:
    """Whether a violation reaches at most half as far from the seams as there is anything; None on maps too small.

    Args:
        touched: output positions that violate.
        shift: of the output, in its own pixels, not (0, 0).
    """
    rows, columns = (seam_distances(size, d) for size, d in zip(touched.shape, shift, strict=True))
    distance = np.minimum(rows[:, None], columns[None, :])
    farthest = distance.max()
    return None if farthest < 2 else 2 * seam_reach(touched, shift) <= int(farthest)
