"""Lines of coloured text before any format, so that a picture is drawn once for terminals and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

RGB = tuple[int, int, int]


class Segment(NamedTuple):
    """Text in one pair of colours; None is that of the place where it is shown."""

    text: str
    foreground: RGB | None = None
    background: RGB | None = None


Line = list[Segment]


def plain_text(line: Line) -> str:
    """A line without its colours."""
    return "".join(span.text for span in line)


def join_columns(blocks: Sequence[Sequence[Line]], gap: int) -> list[Line]:
    """Blocks of lines from left to right, `gap` columns apart, aligned at the top."""
    widths = [max((len(plain_text(line)) for line in block), default=0) for block in blocks]
    lines = []
    for row in range(max(map(len, blocks), default=0)):
        line: Line = []
        filled = 0
        for block, wide in zip(blocks, widths, strict=True):
            if row < len(block):
                line += [span for span in (Segment(" " * (filled - len(plain_text(line)))), *block[row]) if span.text]
            filled += wide + gap
        lines.append(line)
    return lines


def wrap(text: str, width: int) -> list[str]:
    """Text in pieces of at most `width` columns, broken after spaces and commas where that is possible."""
    pieces, rest = [], " ".join(text.split())
    while len(rest) > width:
        cut = max(rest.rfind(mark, 0, width) for mark in " ,") + 1 or width
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest]
