"""Format `jsonl`: one JSON object per line."""

import pydantic_core

from cnnshift.render.document import Document, Style


def render(document: Document, style: Style) -> str:
    """Return one line per run, comparison or name; `style` is not used."""
    return "".join(pydantic_core.to_json(dict(line)).decode() + "\n" for line in document.lines or document.records)
