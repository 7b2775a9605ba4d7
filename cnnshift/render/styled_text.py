"""Lines of coloured text, from which terminals and files are written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, zip_longest
from typing import NamedTuple

RGB = tuple[int, int, int]


class Segment(NamedTuple):
    """Text with a foreground and a background colour; None is the default colour."""

    text: str
    foreground: RGB | None = None
    background: RGB | None = None


Line = list[Segment]


def plain_text(line: Line) -> str:
    """Return a line without colours."""
    return "".join(segment.text for segment in line)


def join_columns(blocks: Sequence[Sequence[Line]], gap: int) -> list[Line]:
    """Place blocks of lines side by side, `gap` columns apart, aligned at the top."""
    widths = [max((len(plain_text(line)) for line in block), default=0) + gap for block in blocks]
    lines = []
    for row in zip_longest(*blocks, fillvalue=()):
        line: Line = []
        for part, start in zip(row, accumulate(widths, initial=0), strict=False):
            if part:
                line += [Segment(" " * (start - len(plain_text(line)))), *part]
        lines.append([segment for segment in line if segment.text])
    return lines


def wrap(text: str, width: int) -> list[str]:
    """Split text into lines of at most `width` columns, after spaces and commas if possible."""
    lines, rest = [], " ".join(text.split())
    while len(rest) > width:
        cut = max(rest.rfind(mark, 0, width) for mark in " ,") + 1 or width
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, rest]
