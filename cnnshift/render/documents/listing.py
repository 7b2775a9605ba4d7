"""What `cnnshift list` says."""

from __future__ import annotations

from collections.abc import Sequence

from cnnshift.render.document import Column, Document, Finding, Table, TableCell


def listing_document(kind: str, rows: Sequence[tuple[str, str, str]]) -> Document:
    """Names, each with one line about it and where it comes from.

    Args:
        kind: what is listed, in the plural.
        rows: (name, summary, reference).
    """
    records = [{"name": name, "summary": summary, "reference": reference} for name, summary, reference in rows]
    headings = (kind, "what it is", "source")
    shown = [
        Column(heading, [TableCell(row[index], emphasis="strong" if index == 0 else "") for row in rows], numeric=False)
        for index, heading in enumerate(headings)
        if any(row[index] for row in rows)
    ]
    findings = [Finding("notice", kind, name, summary) for name, summary, _ in rows]
    return Document(kind, records, records, tables=[Table("", shown)], findings=findings)
