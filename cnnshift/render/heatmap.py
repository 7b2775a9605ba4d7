"""A heat map as text: half-block characters where there is colour, shades where there is none.

A character is about twice as high as it is wide. In colour "▀" has two colours and so holds two square pixels, one
above the other; without colour a pixel is two equal shades side by side. Small maps are enlarged, large ones reduced to
means of square blocks of cells. The ends of both axes and of the scale, and the least and the largest value, are always
said in numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from jaxtyping import Float

from cnnshift.render.colormap import color_at
from cnnshift.render.document import HeatMap, Number
from cnnshift.render.numbers import format_value, format_with_unit
from cnnshift.render.styled_text import RGB, Line, Segment, plain_text, wrap

SHADES = " ░▒▓█"
MISSING = "·"

USUAL_SIDE, LARGEST_FACTOR = 16, 4
"""Smaller maps are enlarged up to so many pixels a side, and by at most this factor."""

LARGEST_SIDE = 64
"""Cells a side beyond which a map is reduced."""

ROOM_FOR_NUMBERS = 29
"""Columns that the lines around a map may take, however small it is."""

BAR = 10

Cells = Float[np.ndarray, "h w"]


def draw_heatmap(picture: HeatMap, *, color: bool, width: int) -> tuple[list[Line], list[Line]]:
    """The lines of a heat map: of its title, and all others.

    Args:
        picture: what to draw.
        color: whether there is colour.
        width: most columns of a line.
    """
    values = np.array([[math.nan if v is None else v for v in row] for row in picture.values], dtype=np.float64)
    margin = max(map(len, [*(f"{value:g}" for value in picture.y), *picture.axes])) + 1
    # Shades have a frame: the lowest of them is blank.
    frame = "" if color else "│"
    room = max(width - margin - 2 * len(frame), 1)
    block = max(math.ceil(max(values.shape) / LARGEST_SIDE), math.ceil(values.shape[1] / room))
    cells = _scaled(_reduce(values, block), picture)
    wide, high = _enlargement(cells, room, color=color)
    body = list(_half_blocks(cells, wide, high) if color else _shades(cells, wide, high))
    labels = {1: picture.axes[0]} | _row_labels(picture.y, (block, high, 2 if color else 1), len(body))
    lines = [
        [Segment(f"{labels.get(index, ''):>{margin - 1}} {frame}"), *line, Segment(frame)]
        for index, line in enumerate(body)
    ]
    below = _column_labels(picture.x, block, wide, wide * cells.shape[1])
    lines.append([Segment(f"{picture.axes[1]:>{margin - 1}} {' ' * len(frame)}{below}")])
    lines.append(_scale(picture, color=color, width=width))
    text = min(width, max(ROOM_FOR_NUMBERS, len(plain_text(lines[0]))))
    notes = [*_extremes(picture, values)]
    if np.isnan(values).any():
        notes.append(f"{'hole' if color else MISSING}: {picture.missing}")
    if block > 1:
        notes.append(f"one cell: mean of {block}×{block}")
    lines += [[Segment(piece)] for note in notes for piece in wrap(note, text)]
    return [[Segment(piece)] for piece in wrap(picture.title, text)], lines


def _reduce(values: Cells, block: int) -> Float[np.ndarray, "H W"]:
    """Means of square blocks of cells, of those that have a value."""
    if block == 1:
        return values
    height, width = values.shape
    tall, wide = math.ceil(height / block), math.ceil(width / block)
    padded = np.full((tall * block, wide * block), np.nan)
    padded[:height, :width] = values
    blocks = padded.reshape(tall, block, wide, block)
    counts = (~np.isnan(blocks)).sum(axis=(1, 3))
    return np.where(counts > 0, np.nansum(blocks, axis=(1, 3)) / np.maximum(counts, 1), np.nan)


def _scaled(cells: Cells, picture: HeatMap) -> Cells:
    """Positions on the scale, 0 to 1; the middle where it has no extent."""
    if picture.high <= picture.low:
        return np.where(np.isnan(cells), np.nan, 0.5)
    return np.clip((cells - picture.low) / (picture.high - picture.low), 0.0, 1.0)


def _enlargement(cells: Cells, room: int, *, color: bool) -> tuple[int, int]:
    """Characters across a cell, and pixels down: half a line each in colour, else a line."""
    columns = cells.shape[1]
    factor = min(max(USUAL_SIDE // max(cells.shape), 1), LARGEST_FACTOR)
    across = 1 if color else 2
    down = factor if color else max(factor // 2, 1)
    down = min(down, max(room // (across * columns), 1))
    # Better too narrow than not there.
    return (across * down if across * down * columns <= room else 1), down


def _half_blocks(cells: Cells, wide: int, high: int) -> Iterator[Line]:
    pixels = np.repeat(cells, high, axis=0)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.full((1, pixels.shape[1]), np.nan)])
    for index in range(0, len(pixels), 2):
        # Beneath the last row there is nothing, which is no missing value.
        last = index + 1 == high * len(cells)
        pairs = [(_color(a), _color(b)) for a, b in zip(pixels[index], pixels[index + 1], strict=True)]
        yield [_half_block(*pair, wide * len(list(same)), last) for pair, same in groupby(pairs)]


def _half_block(upper: RGB | None, lower: RGB | None, wide: int, last: bool) -> Segment:
    if upper is None:
        return Segment((" " if last else MISSING) * wide) if lower is None else Segment("▄" * wide, lower)
    return Segment("▀" * wide, upper, lower)


def _color(position: float) -> RGB | None:
    return None if math.isnan(position) else color_at(position)


def _shades(cells: Cells, wide: int, high: int) -> Iterator[Line]:
    for row in cells:
        text = "".join(_shade(position) * wide for position in row)
        yield from ([Segment(text)] for _ in range(high))


def _shade(position: float) -> str:
    return MISSING if math.isnan(position) else SHADES[min(int(position * len(SHADES)), len(SHADES) - 1)]


def _row_labels(y: Sequence[Number], scale: tuple[int, int, int], lines: int) -> dict[int, str]:
    """Labels by line: both ends of the axis, and 0; `scale`: rows in a cell, pixels down a cell, pixels in a line."""
    block, high, pixels = scale
    labels = {(y.index(0) // block) * high // pixels: "0"} if 0 in y else {}
    return labels | ({lines - 1: f"{y[-1]:g}"} if len(y) > 1 else {}) | {0: f"{y[0]:g}"}


def _column_labels(x: Sequence[Number], block: int, wide: int, width: int) -> str:
    first, last = f"{x[0]:g}", f"{x[-1]:g}"
    if len(x) == 1 or len(first) + len(last) + 1 > width:
        return first if len(x) == 1 else f"{first} to {last}"
    line = first + last.rjust(width - len(first))
    zero = (x.index(0) // block) * wide if 0 in x else 0
    free = line[zero - 1 : zero + 2] == "   "
    return f"{line[:zero]}0{line[zero + 1 :]}" if zero and free else line


def _scale(picture: HeatMap, *, color: bool, width: int) -> Line:
    low, high = format_value(picture.low, picture.unit), format_with_unit(picture.high, picture.unit)
    frame = "" if color else "│"
    room = min(BAR, width - len(low) - len(high) - 2 - 2 * len(frame))
    if room < 2:
        return [Segment(piece) for piece in (low, " to ", high)]
    steps = [step / (room - 1) for step in range(room)]
    bar = [Segment("█", color_at(step)) if color else Segment(_shade(step)) for step in steps]
    return [Segment(f"{low} {frame}"), *bar, Segment(f"{frame} {high}")]


def _extremes(picture: HeatMap, values: Cells) -> Iterator[str]:
    """The least and the largest value, each at its place nearest to 0."""
    if np.isnan(values).all():
        yield "no values"
        return
    y, x = np.abs(picture.y)[:, None], np.abs(picture.x)[None, :]
    order = np.lexsort(((y + x).ravel(), np.maximum(y, x).ravel()))
    for name, value in (("min", np.nanmin(values)), ("max", np.nanmax(values))):
        nearest = next(index for index in order if values.flat[index] == value)
        row, column = divmod(int(nearest), values.shape[1])
        where = zip(picture.axes, (picture.y[row], picture.x[column]), strict=True)
        place = ", ".join(f"{axis}={value:g}" for axis, value in where)
        yield f"{name} {format_with_unit(float(value), picture.unit)} at ({place})"
