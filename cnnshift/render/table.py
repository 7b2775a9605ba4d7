"""Format `table`: Rich tables for a terminal."""

from __future__ import annotations

import io

from rich.color import Color
from rich.console import Console
from rich.style import Style as RichStyle
from rich.table import Table as RichTable
from rich.text import Text

from cnnshift.render.document import Document, Style, Table, TableCell
from cnnshift.render.styled_text import Line

# Widths from which details are placed beside a value instead of below it, and below which optional columns are omitted.
WIDE, NARROW = 150, 100

UNLIMITED = 1_000_000

COLORS = {"": "", "strong": "bold", "good": "green", "bad": "red", "warning": "yellow", "dim": "dim"}


def render(document: Document, style: Style) -> str:
    """Return the document as text for a terminal; without a width, no cell is wrapped."""
    console = Console(
        file=io.StringIO(),
        width=style.width or UNLIMITED,
        force_terminal=style.color,
        color_system=("truecolor" if style.truecolor else "256") if style.color else None,
        highlight=False,
        soft_wrap=style.width is None,
    )
    for line in document.header:
        console.print(Text(line, style="bold"))
    for table in document.tables:
        if table.title:
            console.print(Text(table.title, style="bold"))
        console.print(_table(table, style))
        if table.legend:
            console.print(Text(table.legend, style="dim"))
        if table.plots:
            from cnnshift.render.plots import draw  # imports NumPy

            for line in draw(table.plots, color=style.color, width=style.width):
                console.print(_colored(line))
            if table.notes:
                console.print()
        for note in table.notes:
            console.print(Text(f"• {note}"))
        console.print()
    for line in document.footer:
        console.print(Text(line))
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip("\n") + "\n"


def _table(table: Table, style: Style) -> RichTable:
    wide = style.width is None or style.width >= WIDE
    narrow = style.width is not None and style.width < NARROW
    columns = [column for column in table.columns if not (narrow and column.optional)]
    has_details = any(cell.detail for column in columns for cell in column.cells)
    rich = RichTable(show_edge=False, pad_edge=False, show_lines=has_details and not wide)
    for column in columns:
        rich.add_column(
            Text(column.heading.replace(" [", "\n[")),
            justify="right" if column.numeric else "left",
            overflow="fold",
            no_wrap=style.width is None,
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        rich.add_row(*(_text(cell, wide, narrow) for cell in cells))
    return rich


def _colored(line: Line) -> Text:
    text = Text(no_wrap=True)
    for part, *colors in line:
        foreground, background = (color and Color.from_rgb(*color) for color in colors)
        text.append(part, RichStyle(color=foreground, bgcolor=background))
    return text


def _text(cell: TableCell, wide: bool, narrow: bool) -> Text:
    mark = " *" if cell.best else ""
    # Break model specs after commas.
    content = cell.text.replace(",", ",\n") if narrow and ":" in cell.text else cell.text
    text = Text(f"{content}{mark}", style="bold green" if cell.best else COLORS[cell.emphasis])
    if cell.detail:
        text.append(" " if wide else "\n").append(cell.detail, style="dim not bold")
    return text
