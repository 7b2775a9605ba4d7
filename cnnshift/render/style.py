"""The properties of an output stream that affect rendering."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """Width in columns (None: unlimited), and whether colour and 24-bit colour are available."""

    width: int | None = None
    color: bool = False
    truecolor: bool = False
