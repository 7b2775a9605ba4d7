"""Sparklines: one bar per value, in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cnnshift.render.document import Number

BARS = "▁▂▃▄▅▆▇█"
MISSING = "·"


def sparkline(values: Sequence[Number | None], low: Number, high: Number) -> str:
    """Return one bar per value, on a scale from `low` (lowest bar) to `high` (full bar).

    Values outside the scale are clipped, and missing ones (None, NaN) are dots. If `low` equals `high`, all bars have
    half the height.

    Example:
        >>> sparkline([0.0, 0.5, None, 1.0], 0.0, 1.0)
        '▁▅·█'
    """
    bars = ""
    for value in values:
        if value is None or math.isnan(value):
            bars += MISSING
        elif high <= low:
            bars += BARS[len(BARS) // 2 - 1]
        else:
            position = min(max((value - low) / (high - low), 0.0), 1.0)
            bars += BARS[min(int(position * len(BARS)), len(BARS) - 1)]
    return bars


def thin_out(count: int, limit: int) -> list[int]:
    """Return the indices of at most `limit` of `count` points, evenly spaced, including both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int)).tolist()
