"""The output of a command, independent of the format: tables for people, records for programs, findings for CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """A table column.

    Attributes:
        heading: text of the header.
        cells: one per row.
        numeric: whether to align to the right.
        optional: whether to omit the column from narrow terminals.
    """

    heading: str
    cells: Sequence[TableCell]
    numeric: bool = True
    optional: bool = False


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Values over two axes.

    Attributes:
        title: name of the values.
        values: one per row and column; None for a missing value.
        y: axis value of every row, from the top.
        x: axis value of every column, from the left.
        unit: "fraction" (shown as %), "px", or "" for a plain number.
        low: lower limit of the scale.
        high: upper limit of the scale.
        axes: names of the two axes.
        missing: why values are missing.
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
    """One or several lines over one axis, on one scale.

    Attributes:
        title: name of the values.
        x: axis values, ascending.
        lines: values by the name of the line; None for a missing value.
        unit: as in `HeatMap`.
        low: lower limit of the scale.
        high: upper limit of the scale.
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
    """A table with a title above it, and a legend, plots and notes below it."""

    title: str
    columns: Sequence[Column]
    legend: str = ""
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One result with a severity, as CI systems show it.

    Attributes:
        level: severity.
        group: the model.
        name: the metric or gate.
        message: one sentence.
        severity: order among findings of one level; larger is worse.
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
        tables: for people.
        header: lines before the tables.
        footer: lines after the tables.
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
    lines: Sequence[Mapping[str, Any]] = field(default=())


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Sort findings by level, then by severity; the order of equal findings is kept."""
    return sorted(findings, key=lambda finding: (LEVELS.index(finding.level), -finding.severity))
