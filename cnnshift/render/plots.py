"""Pictures of a table one after the other: maps side by side as far as there is room, curves below each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnshift.render.curve import draw_curve
from cnnshift.render.document import Curve, HeatMap, Plot
from cnnshift.render.heatmap import draw_heatmap
from cnnshift.render.styled_text import Line, Segment, join_columns, plain_text

PAGE = 150
"""Columns to draw for where nobody says how many there are."""

GAP = 3

Drawn = tuple[list[Line], list[Line]]
"""A map's title, and the rest of it."""


def draw(plots: Sequence[Plot], *, color: bool, width: int | None) -> list[Line]:
    """All lines, with an empty one before every row of maps and every curve.

    Args:
        plots: what to draw.
        color: whether there is colour.
        width: most columns of a line; None for as many as a page has.
    """
    return [line for block in _blocks(plots, color, width or PAGE) for line in ([], *block)]


def _blocks(plots: Sequence[Plot], color: bool, width: int) -> Iterator[list[Line]]:
    row: list[Drawn] = []
    for picture in plots:
        drawn = draw_heatmap(picture, color=color, width=width) if isinstance(picture, HeatMap) else None
        if row and (drawn is None or _width([*row, drawn]) > width):
            yield _side_by_side(row)
            row = []
        if drawn is not None:
            row.append(drawn)
        elif isinstance(picture, Curve):
            yield [[Segment(line)] for line in draw_curve(picture, width=width)]
    if row:
        yield _side_by_side(row)


def _width(row: Sequence[Drawn]) -> int:
    return sum(max(len(plain_text(line)) for line in (*title, *rest)) + GAP for title, rest in row) - GAP


def _side_by_side(row: Sequence[Drawn]) -> list[Line]:
    """Maps whose titles end on the same line, so that the maps begin on one."""
    height = max(len(title) for title, _ in row)
    return join_columns([[*([[]] * (height - len(title))), *title, *rest] for title, rest in row], GAP)
