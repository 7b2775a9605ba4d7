"""Format `csv`: one line per record, full precision."""

import csv
import io

from cnnshift.render.document import Document
from cnnshift.render.style import Style


def render(document: Document, style: Style) -> str:
    """Lines under a heading; an absent number is an empty field. Without records there is nothing, not even it."""
    if not document.records:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(document.records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(document.records)
    return buffer.getvalue()
