"""Curves as text: one line of bars per curve, with the values at both ends."""

from __future__ import annotations

import math

from cnnshift.render.document import Curve, Number
from cnnshift.render.numbers import format_value, format_with_unit
from cnnshift.render.sparkline import sparkline, thin_out
from cnnshift.render.styled_text import wrap

MAX_WIDTH = 32
"""Columns up to which few points are drawn with several bars each."""

MAX_POINTS = 48
"""Number of points beyond which some are omitted."""

MIN_NAME_WIDTH = 12
"""Columns below which names are placed above their bars."""


def draw_curve(curve: Curve, *, width: int) -> list[str]:
    """Return a heading with axis and scale, then one line per curve.

    Args:
        curve: what to draw.
        width: maximum width of a line in columns.
    """
    ends = [(_end(values[0], curve.unit), _end(values[-1], curve.unit)) for values in curve.lines.values()]
    first, last = (max((len(pair[side]) for pair in ends), default=0) for side in (0, 1))
    names = max(map(len, curve.lines), default=0)
    available = width - first - last - 3
    bars = max(min(MAX_POINTS, available - min(names, available * 2 // 3)), 1)
    indices = thin_out(len(curve.x), bars)
    repeat = max(min(bars, MAX_WIDTH) // len(indices), 1)
    name_width = available - repeat * len(indices)
    labels = [
        wrap(name, name_width) if name_width >= min(names, MIN_NAME_WIDTH) else [*wrap(name, width), ""]
        for name in curve.lines
    ]
    name_width = max((len(label[-1]) for label in labels), default=0)
    lines = wrap(_heading(curve), width)
    for (*above, label), values, (start, end) in zip(labels, curve.lines.values(), ends, strict=True):
        bar = "".join(mark * repeat for mark in sparkline([values[index] for index in indices], curve.low, curve.high))
        lines += [*above, f"{label:<{name_width}} {start:>{first}} {bar} {end:>{last}}"]
    return lines


def _heading(curve: Curve) -> str:
    scale = f"bars: {format_value(curve.low, curve.unit)} to {format_with_unit(curve.high, curve.unit)}"
    points = f"{curve.x[0]:g}" if len(curve.x) == 1 else f"{curve.x[0]:g} … {curve.x[-1]:g}"
    return f"{curve.title} at {curve.axis} = {points} · {scale}"


def _end(value: Number | None, unit: str) -> str:
    return "–" if value is None or math.isnan(value) else format_with_unit(value, unit)
