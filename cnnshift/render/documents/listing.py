"""The document of `cnnshift list`."""

from __future__ import annotations

from collections.abc import Sequence

from cnnshift.render.document import Column, Document, Finding, Table, TableCell


def listing_document(kind: str, rows: Sequence[tuple[str, str, str]]) -> Document:
    """Return a document with one row (name, summary, reference) per name; `kind` is the plural of what is listed."""
    records = [{"name": name, "summary": summary, "reference": reference} for name, summary, reference in rows]
    columns = [
        Column(heading, [TableCell(row[index], emphasis="strong" if index == 0 else "") for row in rows], numeric=False)
        for index, heading in enumerate((kind, "description", "source"))
        if any(row[index] for row in rows)
    ]
    findings = [Finding("notice", kind, name, summary) for name, summary, _ in rows]
    return Document(kind, records, records, tables=[Table("", columns)], findings=findings)
