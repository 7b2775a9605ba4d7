"""Heat maps as text: half-block characters with colour, shades without.

A character is about twice as high as wide. With colour, "▀" shows two square pixels, one above the other; without
colour, a pixel is two equal shades side by side. Small maps are enlarged, large ones are averaged over square blocks of
cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from cnnshift.array_types import Float
from cnnshift.render.document import HeatMap, Number
from cnnshift.render.numbers import format_value, format_with_unit
from cnnshift.render.styled_text import RGB, Line, Segment, plain_text, wrap

SHADES = " ░▒▓█"
MISSING = "·"

# Colours of viridis at 0, 1/10, …, 1; linear interpolation is within 13 of 255. Source: van der Walt & Smith 2015, CC0.
VIRIDIS: tuple[RGB, ...] = (
    (68, 1, 84),
    (72, 36, 117),
    (65, 68, 135),
    (53, 95, 141),
    (42, 120, 142),
    (33, 145, 140),
    (34, 168, 132),
    (68, 191, 112),
    (122, 209, 81),
    (189, 223, 38),
    (253, 231, 37),
)

# Smaller maps are enlarged up to this many pixels per side, and by at most this factor.
MIN_SIDE, MAX_FACTOR = 16, 4

# Cells per side above which a map is averaged over blocks.
MAX_SIDE = 64

# Columns available to the text around a map, even if the map is narrower.
MIN_TEXT_WIDTH = 29

SCALE_WIDTH = 10

Cells = Float[np.ndarray, "h w"]


def color_at(fraction: float) -> RGB:
    """Return the colour of viridis at a position from 0 (dark) to 1 (light); positions outside are clipped."""
    position = fraction * (len(VIRIDIS) - 1)
    red, green, blue = (
        round(float(np.interp(position, range(len(VIRIDIS)), channel))) for channel in zip(*VIRIDIS, strict=True)
    )
    return red, green, blue


def draw_heatmap(heat_map: HeatMap, *, color: bool, width: int) -> tuple[list[Line], list[Line]]:
    """Return the lines of the title, and all other lines, of at most `width` columns."""
    values = np.array([[math.nan if v is None else v for v in row] for row in heat_map.values], dtype=np.float64)
    margin = max(map(len, [*(f"{value:g}" for value in heat_map.y), "dy"])) + 1
    # The lowest shade is blank, so that shades need a frame.
    frame = "" if color else "│"
    room = max(width - margin - 2 * len(frame), 1)
    block = max(math.ceil(max(values.shape) / MAX_SIDE), math.ceil(values.shape[1] / room))
    cells = _scaled(_reduce(values, block), heat_map)
    wide, high = _enlargement(cells, room, color=color)
    body = list(_half_blocks(cells, wide, high) if color else _shades(cells, wide, high))
    y, labels = heat_map.y, {1: "dy"}
    if 0 in y:
        labels[y.index(0) // block * high // (2 if color else 1)] = "0"
    if len(y) > 1:
        labels[len(body) - 1] = f"{y[-1]:g}"
    labels[0] = f"{y[0]:g}"
    lines = [
        [Segment(f"{labels.get(index, ''):>{margin - 1}} {frame}"), *line, Segment(frame)]
        for index, line in enumerate(body)
    ]
    below = _column_labels(heat_map.x, block, wide, wide * cells.shape[1])
    lines.append([Segment(f"{'dx':>{margin - 1}} {' ' * len(frame)}{below}")])
    lines.append(_scale(heat_map, color=color, width=width))
    text = min(width, max(MIN_TEXT_WIDTH, len(plain_text(lines[0]))))
    notes = [*_extremes(heat_map, values)]
    if np.isnan(values).any():
        notes.append(f"{'empty' if color else MISSING}: {heat_map.missing}")
    if block > 1:
        notes.append(f"each cell: mean of {block}×{block}")
    lines += [[Segment(piece)] for note in notes for piece in wrap(note, text)]
    return [[Segment(piece)] for piece in wrap(heat_map.title, text)], lines


def _reduce(values: Cells, block: int) -> Float[np.ndarray, "H W"]:
    """Average square blocks of cells over the cells that have a value."""
    if block == 1:
        return values
    height, width = values.shape
    padded = np.pad(values, ((0, -height % block), (0, -width % block)), constant_values=np.nan)
    blocks = padded.reshape(len(padded) // block, block, -1, block)
    counts = (~np.isnan(blocks)).sum(axis=(1, 3))
    return np.where(counts > 0, np.nansum(blocks, axis=(1, 3)) / np.maximum(counts, 1), np.nan)


def _scaled(cells: Cells, heat_map: HeatMap) -> Cells:
    """Return positions on the scale, 0 to 1; 0.5 if its limits are equal."""
    if heat_map.high <= heat_map.low:
        return np.where(np.isnan(cells), np.nan, 0.5)
    return np.clip((cells - heat_map.low) / (heat_map.high - heat_map.low), 0.0, 1.0)


def _enlargement(cells: Cells, room: int, *, color: bool) -> tuple[int, int]:
    """Return the width of a cell in characters and its height in pixels (with colour half a line each)."""
    columns = cells.shape[1]
    factor = min(max(MIN_SIDE // max(cells.shape), 1), MAX_FACTOR)
    across = 1 if color else 2
    down = factor if color else max(factor // 2, 1)
    down = min(down, max(room // (across * columns), 1))
    return (across * down if across * down * columns <= room else 1), down


def _half_blocks(cells: Cells, wide: int, high: int) -> Iterator[Line]:
    pixels = np.repeat(cells, high, axis=0)
    pixels = np.pad(pixels, ((0, len(pixels) % 2), (0, 0)), constant_values=np.nan)
    for index in range(0, len(pixels), 2):
        # The lower half of the last line may be outside the map.
        last = index + 1 == high * len(cells)
        pairs = [(_color(a), _color(b)) for a, b in zip(pixels[index], pixels[index + 1], strict=True)]
        line = []
        for (upper, lower), same in groupby(pairs):
            mark = "▀" if upper else "▄" if lower else " " if last else MISSING
            line.append(Segment(mark * wide * len(list(same)), upper or lower, lower if upper else None))
        yield line


def _color(position: float) -> RGB | None:
    return None if math.isnan(position) else color_at(position)


def _shades(cells: Cells, wide: int, high: int) -> Iterator[Line]:
    for row in np.repeat(cells, high, axis=0):
        yield [Segment("".join(_shade(position) * wide for position in row))]


def _shade(position: float) -> str:
    return MISSING if math.isnan(position) else SHADES[min(int(position * len(SHADES)), len(SHADES) - 1)]


def _column_labels(x: Sequence[Number], block: int, wide: int, width: int) -> str:
    first, last = f"{x[0]:g}", f"{x[-1]:g}"
    if len(x) == 1 or len(first) + len(last) + 1 > width:
        return first if len(x) == 1 else f"{first} to {last}"
    line = first + last.rjust(width - len(first))
    zero = (x.index(0) // block) * wide if 0 in x else 0
    free = line[zero - 1 : zero + 2] == "   "
    return f"{line[:zero]}0{line[zero + 1 :]}" if zero and free else line


def _scale(heat_map: HeatMap, *, color: bool, width: int) -> Line:
    low, high = format_value(heat_map.low, heat_map.unit), format_with_unit(heat_map.high, heat_map.unit)
    frame = "" if color else "│"
    room = min(SCALE_WIDTH, width - len(low) - len(high) - 2 - 2 * len(frame))
    if room < 2:
        return [Segment(piece) for piece in (low, " to ", high)]
    steps = [step / (room - 1) for step in range(room)]
    bar = [Segment("█", color_at(step)) if color else Segment(_shade(step)) for step in steps]
    return [Segment(f"{low} {frame}"), *bar, Segment(f"{frame} {high}")]


def _extremes(heat_map: HeatMap, values: Cells) -> Iterator[str]:
    """Yield the smallest and the largest value, each at its position closest to (0, 0)."""
    if np.isnan(values).all():
        yield "no values"
        return
    y, x = np.abs(heat_map.y)[:, None], np.abs(heat_map.x)[None, :]
    order = np.lexsort(((y + x).ravel(), np.maximum(y, x).ravel()))
    for name, value in (("min", np.nanmin(values)), ("max", np.nanmax(values))):
        nearest = next(index for index in order if values.flat[index] == value)
        row, column = divmod(int(nearest), values.shape[1])
        place = f"(dy={heat_map.y[row]:g}, dx={heat_map.x[column]:g})"
        yield f"{name} {format_with_unit(float(value), heat_map.unit)} at {place}"
