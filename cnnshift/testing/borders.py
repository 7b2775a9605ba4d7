"""Describe whether equivariance errors are confined to the border."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from cnnshift.shifts.seams import seam_distances, seam_reach, stays_at_border


def describe_extent(violations: Bool[np.ndarray, "h w"], shift: Int[np.ndarray, " 2"]) -> str:
    """Describe the extent of the errors at one shift.

    They are at the border if their largest distance from the nearest seam is at most half of the largest possible one.

    Args:
        violations: output positions whose error exceeds the tolerance, at least one.
        shift: in output positions, not (0, 0).

    Example:
        >>> violations = np.zeros((8, 8), bool)
        >>> violations[:, [0, 1, 7]] = True
        >>> describe_extent(violations, np.array([0, 1]))
        'affects only columns {0, 1, 7} of 8: the border (padding)'
    """
    d = int(shift[0]), int(shift[1])
    border = stays_at_border(violations, d)
    if border is None:
        return "affects maps that are too small to distinguish padding from aliasing"
    if not border:
        return (
            f"affects {violations.sum()} of {violations.size} positions, not only the border: aliasing, positional "
            "weights, or padding with a large receptive field"
        )
    rows, columns = (seam_distances(size, part) for size, part in zip(violations.shape, d, strict=True))
    reach = seam_reach(violations, d)
    lines = []
    if d[0]:
        lines.append(_format_lines("rows", np.asarray(rows <= reach if d[1] else violations.any(axis=1))))
    if d[1]:
        lines.append(_format_lines("columns", np.asarray(columns <= reach if d[0] else violations.any(axis=0))))
    return f"affects only {' and '.join(lines)}: the border (padding)"


def _format_lines(name: str, mask: np.ndarray) -> str:
    return f"{name} {{{', '.join(str(i) for i in np.flatnonzero(mask))}}} of {len(mask)}"
