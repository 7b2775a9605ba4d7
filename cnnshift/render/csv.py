"""Format `csv`: one line per record, full precision."""

import csv
import io
from typing import Any

from cnnshift.render.document import Document
from cnnshift.render.style import Style


def render(document: Document, style: Style) -> str:
    """Lines under a heading; an absent number is an empty field. Without records there is nothing, not even it."""
    if not document.records:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(document.records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _as_text(value) for key, value in record.items()} for record in document.records)
    return buffer.getvalue()


def _as_text(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula, marked as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
