"""Where text goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """Width of the place in columns (None: as wide as the text needs), whether colour is wanted, and in 24 bits."""

    width: int | None = None
    color: bool = False
    truecolor: bool = False
