"""Curves in one line of text: a bar per value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cnnshift.render.document import Number

BARS = "▁▂▃▄▅▆▇█"
MISSING = "·"


def sparkline(values: Sequence[Number | None], low: Number, high: Number) -> str:
    """One bar per value, on the scale from `low` (lowest bar) to `high` (full bar).

    The scale is the caller's, so that several lines can share it. Values beyond it have its first or last bar, missing
    ones (None, NaN) a dot, and on a scale without extent all have the middle bar.

    Example:
        >>> sparkline([0.0, 0.5, None, 1.0], 0.0, 1.0)
        '▁▅·█'
    """
    return "".join(_bar(value, low, high) for value in values)


def _bar(value: Number | None, low: Number, high: Number) -> str:
    if value is None or math.isnan(value):
        return MISSING
    if high <= low:
        return BARS[len(BARS) // 2 - 1]
    # Infinite ones are beyond every scale.
    position = min(max((value - low) / (high - low), 0.0), 1.0)
    return BARS[min(int(position * len(BARS)), len(BARS) - 1)]


def thin_out(count: int, most: int) -> list[int]:
    """Indices of at most `most` of `count` points, evenly spaced, ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
