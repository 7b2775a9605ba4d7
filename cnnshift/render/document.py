"""What a command says, before any format: tables for people, records for programs, findings for CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["error", "failure", "warning", "notice", "passed"]
"""How bad a finding is, worst first: could not be compared or measured; a gate failed; worth a look; a fact; fine."""

LEVELS: tuple[Level, ...] = ("error", "failure", "warning", "notice", "passed")

Emphasis = Literal["", "strong", "good", "bad", "doubtful", "dim"]
"""How a cell is to stand out where there is colour; its text must say the same without."""


@dataclass(frozen=True, slots=True)
class TableCell:
    """A value with its interval (and spread over seeds), and whether it is the best of its column."""

    text: str
    detail: str = ""
    best: bool = False
    emphasis: Emphasis = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and one cell per row.

    Attributes:
        heading: what the cells are.
        cells: one per row.
        numeric: set flush right.
        optional: left out first where there is little room.
    """

    heading: str
    cells: Sequence[TableCell]
    numeric: bool = True
    optional: bool = False


Number = int | float
"""Whole pixels are ints, which a check of types at run time takes for no floats."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Values over two axes, for people: one cell per pair of axis values, darker for lower ones.

    Attributes:
        title: what the values are.
        values: one per row and column; None where there is none.
        y: axis value of every row, from the top.
        x: axis value of every column, from the left.
        unit: of the values: "fraction" (shown as %), "px", or "" for a plain ratio.
        low: where the scale of colours or shades begins.
        high: where it ends.
        axes: names of the two axes.
        missing: why some cells have no value.
    """

    title: str
    values: Sequence[Sequence[Number | None]]
    y: Sequence[Number]
    x: Sequence[Number]
    unit: str
    low: Number
    high: Number
    axes: tuple[str, str] = ("dy", "dx")
    missing: str = "no value"


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines over one axis on one scale, for people.

    Attributes:
        title: what the values are, and over what.
        x: axis value of every point, ascending.
        lines: values by the name of their line; None where there is none.
        unit: as in `HeatMap`.
        low: where the scale of the bars begins.
        high: where it ends.
        axis: name of the axis.
    """

    title: str
    x: Sequence[Number]
    lines: Mapping[str, Sequence[Number | None]]
    unit: str
    low: Number
    high: Number
    axis: str = "|d|"


Plot = HeatMap | Curve


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the line above it, the legend and pictures below it, and the sentences that follow from it."""

    title: str
    columns: Sequence[Column]
    legend: str = ""
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact with a verdict, as CI systems show them.

    Attributes:
        level: how bad it is.
        group: what it belongs to (a model).
        name: what was looked at (a metric).
        message: one sentence.
        severity: the larger, the worse among findings of its level.
    """

    level: Level
    group: str
    name: str
    message: str
    severity: float = 0.0


@dataclass(frozen=True, slots=True)
class Document:
    """Everything that a command has to say; every format takes from it what it can show.

    Attributes:
        name: of the command's subject, such as `bench`.
        header: lines before the tables.
        tables: for people.
        footer: lines after the tables.
        findings: for CI systems.
        records: flat rows with equal keys, for spreadsheets.
        lines: one JSON object per row; the records, if there is nothing more to say.
        content: the whole, as a pydantic model or plain values, for programs.
    """

    name: str
    content: Any
    records: Sequence[Mapping[str, Any]]
    tables: Sequence[Table] = ()
    header: Sequence[str] = ()
    footer: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    lines: Sequence[Mapping[str, Any]] = field(default=())


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Findings by level, then by severity; equal ones keep their order."""
    return sorted(findings, key=lambda finding: (LEVELS.index(finding.level), -finding.severity))
