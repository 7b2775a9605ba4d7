"""Format `markdown`: the table for people, for a README or a step summary."""

from collections.abc import Iterable

from cnnshift.render.answer import answer
from cnnshift.render.columns import Cell, columns
from cnnshift.render.numbers import headline
from cnnshift.render.style import Style
from cnnshift.results.groups import group_runs
from cnnshift.results.schema import Result


def render(result: Result, style: Style) -> str:
    """One pipe table per protocol; `style` does not matter."""
    if not result.runs:
        return "No cell was finished.\n"
    blocks = []
    for group in group_runs(result):
        table = columns(group)
        lines = [
            f"**{headline(group)}**",
            "",
            _row(_escape(column.heading) for column in table),
            _row("---:" if column.numeric else "---" for column in table),
            *(_row(_cell(cell) for cell in cells) for cells in zip(*(c.cells for c in table), strict=True)),
            "",
            *(f"- {sentence}" for sentence in answer(group)),
        ]
        blocks.append("\n".join(lines).rstrip() + "\n")
    return "\n".join(blocks)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return _escape(f"{text} {cell.detail}".strip())


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
