"""Does a violation stay at the border, or is it everywhere? In words."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from cnnshift.shifts.seams import seam_distances, seam_reach, stays_at_border


def describe_extent(touched: Bool[np.ndarray, "h w"], shift: Int[np.ndarray, " 2"]) -> str:
    """Say where a violation is.

    Every position has a distance from the nearest seam (1: beside it). The violation is at the border if it reaches
    at most half of the largest distance that there is.

    Args:
        touched: output positions that violate, at least one.
        shift: of the output, in its own pixels, not (0, 0).

    Example:
        >>> touched = np.zeros((8, 8), bool)
        >>> touched[:, [0, 1, 7]] = True
        >>> describe_extent(touched, np.array([0, 1]))
        'it touches only columns {0, 1, 7} of 8: the border (padding)'
    """
    border = stays_at_border(touched, (int(shift[0]), int(shift[1])))
    if border is None:
        return "and the maps are too small to tell a border from aliasing"
    if not border:
        return (
            f"it touches {touched.sum()} of {touched.size} positions, not only the border: "
            f"aliasing, weights that depend on the position, or a padding whose influence reaches this far"
        )
    rows, columns = (seam_distances(size, int(d)) for size, d in zip(touched.shape, shift, strict=True))
    reach = seam_reach(touched, (int(shift[0]), int(shift[1])))
    lines = []
    if shift[0]:
        lines.append(_name("rows", np.asarray(rows <= reach if shift[1] else touched.any(axis=1))))
    if shift[1]:
        lines.append(_name("columns", np.asarray(columns <= reach if shift[0] else touched.any(axis=0))))
    return f"it touches only {' and '.join(lines)}: the border (padding)"


def _name(lines: str, which: np.ndarray) -> str:
    return f"{lines} {{{', '.join(str(i) for i in np.flatnonzero(which))}}} of {len(which)}"
