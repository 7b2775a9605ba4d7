"""The output of a command, independent of the format, and the style of an output stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["error", "failure", "warning", "notice", "passed"]
"""Severity of a finding, worst first: not comparable, failed gate, inconclusive, information, passed gate."""

LEVELS: tuple[Level, ...] = ("error", "failure", "warning", "notice", "passed")

Emphasis = Literal["", "strong", "good", "bad", "warning", "dim"]
"""Style of a cell where colour is available; never the only carrier of meaning."""

Number = int | float
"""Includes int because shifts by whole pixels are ints, which the type checks at run time do not accept as floats."""


@dataclass(frozen=True, slots=True)
class TableCell:
    """A value with details (interval, spread over seeds), and whether it is the best value of its column."""

    text: str
    detail: str = ""
    best: bool = False
    emphasis: Emphasis = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A table column: `numeric` ones are aligned to the right, `optional` ones omitted from narrow terminals."""

    heading: str
    cells: Sequence[TableCell]
    numeric: bool = True
    optional: bool = False


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Values over shifts (dy, dx) or their phases.

    Attributes:
        title: name of the values.
        values: one per row and column; None for a missing value.
        y: dy of every row, from the top.
        x: dx of every column, from the left.
        unit: "fraction" (shown as %), "px", or "" for a plain number.
        low, high: limits of the scale.
        missing: why values are missing.
    """

    title: str
    values: Sequence[Sequence[Number | None]]
    y: Sequence[Number]
    x: Sequence[Number]
    unit: str
    low: Number
    high: Number
    missing: str = "no value"


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines by name over |d|: x ascending, None for a missing value, `unit` and limits as in `HeatMap`."""

    title: str
    x: Sequence[Number]
    lines: Mapping[str, Sequence[Number | None]]
    unit: str
    low: Number
    high: Number


Plot = HeatMap | Curve


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title above it, and a legend, plots and notes below it."""

    title: str
    columns: Sequence[Column]
    legend: str = ""
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One result as CI systems show it: a sentence about a metric or gate (`name`) of a model (`group`).

    `severity` orders the findings of one level; larger is worse.
    """

    level: Level
    group: str
    name: str
    message: str
    severity: float = 0.0


@dataclass(frozen=True, slots=True)
class Document:
    """The output of a command; every format renders the parts that it supports.

    Attributes:
        name: name of the command.
        content: everything, as a pydantic model or plain values, for `json`.
        records: flat rows with equal keys, for `csv`.
        tables: for `table` and `markdown`, as are header and footer, the lines around them.
        findings: for `github` and `junit`.
        lines: one object per line, for `jsonl`; by default the records.
    """

    name: str
    content: Any
    records: Sequence[Mapping[str, Any]]
    tables: Sequence[Table] = ()
    header: Sequence[str] = ()
    footer: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    lines: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Style:
    """Width of an output stream in columns (None: unlimited), and whether it has colour and 24-bit colour."""

    width: int | None = None
    color: bool = False
    truecolor: bool = False


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Sort findings by level, then by severity; the order of equal findings is kept."""
    return sorted(findings, key=lambda finding: (LEVELS.index(finding.level), -finding.severity))
