"""Format `markdown`: tables for a README, a pull request or a step summary."""

import re
from collections.abc import Iterable

from cnnshift.render.document import Document, Style, Table, TableCell
from cnnshift.render.plots import draw
from cnnshift.render.styled_text import plain_text


def render(document: Document, style: Style) -> str:
    """Return header, pipe tables and footer; `style` is not used."""
    blocks = [*map(_escape, document.header), *map(_table, document.tables), *map(_escape, document.footer)]
    return "\n\n".join(blocks) + "\n"


def _table(table: Table) -> str:
    lines = [f"**{_escape(table.title)}**", ""] if table.title else []
    lines += [
        _row(_escape(column.heading) for column in table.columns),
        _row("---:" if column.numeric else "---" for column in table.columns),
        *(_row(_cell(cell) for cell in cells) for cells in zip(*(c.cells for c in table.columns), strict=True)),
    ]
    if table.legend:
        lines += ["", f"*{_escape(table.legend)}*"]
    if table.plots:
        lines += ["", *_fenced([plain_text(line).rstrip() for line in draw(table.plots, color=False, width=None)[1:]])]
    if table.notes:
        lines += ["", *(f"- {_escape(note)}" for note in table.notes)]
    return "\n".join(lines)


def _fenced(lines: list[str]) -> list[str]:
    """Return a code block with a fence that is longer than any run of backticks in the lines."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *lines, fence]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: TableCell) -> str:
    text = f"**{_escape(cell.text)}**" if cell.best else _escape(cell.text)
    return f"{text} {_escape(cell.detail)}".strip()


def _escape(text: str) -> str:
    """Escape markup, links, mentions and line breaks, because text may come from a file."""
    text = text.replace("&", "&amp;")
    for mark in "\\`*_<>|#[]!~":
        text = text.replace(mark, f"\\{mark}")
    # A zero-width character prevents that "@name" becomes a mention and "https://" a link.
    return " ".join(text.replace("@", "@\u2060").replace("://", ":\u2060//").split())
