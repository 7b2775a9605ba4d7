"""Plots as text: heat maps side by side as far as they fit, curves below each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cnnshift.render.document import Curve, HeatMap, Number, Plot
from cnnshift.render.heatmap import draw_heatmap
from cnnshift.render.numbers import format_value, format_with_unit
from cnnshift.render.sparkline import sparkline, thin_out
from cnnshift.render.styled_text import Line, Segment, join_columns, plain_text, wrap

DEFAULT_WIDTH = 150

GAP = 3

# More points are thinned out; few points have several bars each, up to this many columns.
MAX_POINTS, MAX_BARS = 48, 32

# Columns below which the names of curves are placed above their bars.
MIN_NAME_WIDTH = 12

TitleAndMap = tuple[list[Line], list[Line]]


def draw(plots: Sequence[Plot], *, color: bool, width: int | None) -> list[Line]:
    """Draw plots, with an empty line before every row of heat maps and every curve.

    Lines have at most `width` columns; None stands for `DEFAULT_WIDTH`.
    """
    return [line for block in _blocks(plots, color, width or DEFAULT_WIDTH) for line in ([], *block)]


def _blocks(plots: Sequence[Plot], color: bool, width: int) -> Iterator[list[Line]]:
    row: list[TitleAndMap] = []
    for plot in plots:
        drawn = draw_heatmap(plot, color=color, width=width) if isinstance(plot, HeatMap) else None
        if row and (drawn is None or _width([*row, drawn]) > width):
            yield _side_by_side(row)
            row = []
        if drawn is not None:
            row.append(drawn)
        elif isinstance(plot, Curve):
            yield [[Segment(line)] for line in _draw_curve(plot, width=width)]
    if row:
        yield _side_by_side(row)


def _width(row: Sequence[TitleAndMap]) -> int:
    return sum(max(len(plain_text(line)) for line in (*title, *rest)) + GAP for title, rest in row) - GAP


def _side_by_side(row: Sequence[TitleAndMap]) -> list[Line]:
    """Place maps side by side, with their titles aligned at the bottom."""
    height = max(len(title) for title, _ in row)
    return join_columns([[*([[]] * (height - len(title))), *title, *rest] for title, rest in row], GAP)


def _draw_curve(curve: Curve, *, width: int) -> list[str]:
    """Return a heading with axis and scale, then one line of bars per curve, with the values at both ends."""
    ends = [(_end(values[0], curve.unit), _end(values[-1], curve.unit)) for values in curve.lines.values()]
    first, last = (max((len(pair[side]) for pair in ends), default=0) for side in (0, 1))
    names = max(map(len, curve.lines), default=0)
    available = width - first - last - 3
    bars = max(min(MAX_POINTS, available - min(names, available * 2 // 3)), 1)
    indices = thin_out(len(curve.x), bars)
    repeat = max(min(bars, MAX_BARS) // len(indices), 1)
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
    return f"{curve.title} at |d| = {points} · {scale}"


def _end(value: Number | None, unit: str) -> str:
    return "–" if value is None or math.isnan(value) else format_with_unit(value, unit)
