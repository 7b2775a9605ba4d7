"""Where text goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """Width of the place in columns (None: as wide as the text needs), and whether colour is wanted."""

    width: int | None = None
    color: bool = False
