"""Curves as text: one line of bars for each, on a shared scale, with the numbers at their ends."""

from __future__ import annotations

import math

from cnnshift.render.document import Curve, Number
from cnnshift.render.numbers import format_value, format_with_unit
from cnnshift.render.sparkline import sparkline, thin_out
from cnnshift.render.styled_text import wrap

WIDEST, MOST_POINTS = 32, 48
"""Columns up to which few points get several bars each, and points above which some are left out."""

NARROWEST = 12
"""Columns that names need to stand beside their bars."""


def draw_curve(picture: Curve, *, width: int) -> list[str]:
    """The lines of a curve: what it is over which axis on which scale, then one line per name.

    Args:
        picture: what to draw.
        width: most columns of a line.
    """
    ends = [(_end(values[0], picture.unit), _end(values[-1], picture.unit)) for values in picture.lines.values()]
    first, last = (max((len(pair[side]) for pair in ends), default=0) for side in (0, 1))
    names = max(map(len, picture.lines), default=0)
    spare = width - first - last - 3
    bars = max(min(MOST_POINTS, spare - min(names, spare * 2 // 3)), 1)
    kept = thin_out(len(picture.x), bars)
    each = max(min(bars, WIDEST) // len(kept), 1)
    column = spare - each * len(kept)
    # Where a column of names would be too narrow to read they stand above their lines.
    labels = [
        wrap(name, column) if column >= min(names, NARROWEST) else [*wrap(name, width), ""] for name in picture.lines
    ]
    column = max((len(label[-1]) for label in labels), default=0)
    lines = wrap(_heading(picture), width)
    for (*above, label), values, (start, end) in zip(labels, picture.lines.values(), ends, strict=True):
        bar = "".join(mark * each for mark in sparkline([values[index] for index in kept], picture.low, picture.high))
        lines += [*above, f"{label:<{column}} {start:>{first}} {bar} {end:>{last}}"]
    return lines


def _heading(picture: Curve) -> str:
    scale = f"bars: {format_value(picture.low, picture.unit)} to {format_with_unit(picture.high, picture.unit)}"
    span = f"{picture.x[0]:g}" if len(picture.x) == 1 else f"{picture.x[0]:g} … {picture.x[-1]:g}"
    return f"{picture.title} at {picture.axis} = {span} · {scale}"


def _end(value: Number | None, unit: str) -> str:
    return "–" if value is None or math.isnan(value) else format_with_unit(value, unit)
