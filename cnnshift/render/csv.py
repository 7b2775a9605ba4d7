"""Format `csv`: one line per record, in full precision."""

import csv
import io
from typing import Any

from cnnshift.render.document import Document, Style


def render(document: Document, style: Style) -> str:
    """Return a header and one line per record; a missing value is an empty field. `style` is not used."""
    if not document.records:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(document.records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _escape_formula(value) for key, value in record.items()} for record in document.records)
    return buffer.getvalue()


def _escape_formula(value: Any) -> Any:
    """Quote text that a spreadsheet would evaluate as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
