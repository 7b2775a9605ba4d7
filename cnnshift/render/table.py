"""Format `table`: one Rich table per protocol, then the answer in plain words."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnnshift.render.answer import answer
from cnnshift.render.columns import Cell, Column, columns
from cnnshift.render.numbers import headline
from cnnshift.render.style import Style
from cnnshift.results.groups import Group, group_runs
from cnnshift.results.schema import Result

WIDE = 150
"""Columns from which an interval stands beside its value instead of below it."""

NARROW = 100
"""Columns below which the costs of a model are left to the other formats, so that its scores stay readable."""

LEFT_OUT_FIRST = ("params", "images/s")

UNLIMITED = 10_000


def render(result: Result, style: Style) -> str:
    """The result as text for a terminal.

    Args:
        result: at least one run, or the text says that there is none.
        style: width and colour. Without a width no cell is ever wrapped or cut.
    """
    if not result.runs:
        return "No cell was finished.\n"
    console = Console(
        file=io.StringIO(),
        width=style.width or UNLIMITED,
        force_terminal=style.color,
        color_system="standard" if style.color else None,
        highlight=False,
        soft_wrap=style.width is None,
    )
    for group in group_runs(result):
        console.print(Text(headline(group), style="bold"))
        console.print(_table(group, style))
        console.print(
            Text("[low, high]: 95 % interval over images · * best of its column · bars: 0 to 100 %", style="dim")
        )
        for sentence in answer(group):
            console.print(Text(f"• {sentence}"))
        console.print()
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip() + "\n"


def _table(group: Group, style: Style) -> Table:
    beside = style.width is None or style.width >= WIDE
    shown = [column for column in columns(group) if not (_is_narrow(style) and column.heading in LEFT_OUT_FIRST)]
    table = Table(show_edge=False, pad_edge=False, show_lines=not beside)
    for column in shown:
        table.add_column(
            Text(column.heading.replace(" [", "\n[")),
            justify="right" if column.numeric else "left",
            overflow="fold",
            no_wrap=style.width is None,
        )
    for cells in zip(*(_texts(column, beside) for column in shown), strict=True):
        table.add_row(*cells)
    return table


def _is_narrow(style: Style) -> bool:
    return style.width is not None and style.width < NARROW


def _texts(column: Column, beside: bool) -> list[Text]:
    return [_text(cell, beside) for cell in column.cells]


def _text(cell: Cell, beside: bool) -> Text:
    mark = " *" if cell.best else ""
    text = Text(f"{cell.text}{mark}", style="bold green" if cell.best else "")
    if cell.detail:
        text.append(" " if beside else "\n").append(cell.detail, style="dim not bold")
    return text
