"""Plots as text: heat maps side by side as far as they fit, curves below each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnshift.render.curve import draw_curve
from cnnshift.render.document import Curve, HeatMap, Plot
from cnnshift.render.heatmap import draw_heatmap
from cnnshift.render.styled_text import Line, Segment, join_columns, plain_text

DEFAULT_WIDTH = 150

GAP = 3

TitleAndMap = tuple[list[Line], list[Line]]


def draw(plots: Sequence[Plot], *, color: bool, width: int | None) -> list[Line]:
    """Draw plots, with an empty line before every row of heat maps and every curve.

    Args:
        plots: what to draw.
        color: whether colour is available.
        width: maximum width of a line in columns; None for `DEFAULT_WIDTH`.
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
            yield [[Segment(line)] for line in draw_curve(plot, width=width)]
    if row:
        yield _side_by_side(row)


def _width(row: Sequence[TitleAndMap]) -> int:
    return sum(max(len(plain_text(line)) for line in (*title, *rest)) + GAP for title, rest in row) - GAP


def _side_by_side(row: Sequence[TitleAndMap]) -> list[Line]:
    """Place maps side by side, with their titles aligned at the bottom."""
    height = max(len(title) for title, _ in row)
    return join_columns([[*([[]] * (height - len(title))), *title, *rest] for title, rest in row], GAP)
