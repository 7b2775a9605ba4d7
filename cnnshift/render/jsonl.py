"""Format `jsonl`: one JSON object per line."""

import pydantic_core

from cnnshift.render.document import Document
from cnnshift.render.style import Style


def render(document: Document, style: Style) -> str:
    """A line per run, comparison or name; `style` does not matter."""
    return "".join(pydantic_core.to_json(dict(line)).decode() + "\n" for line in document.lines or document.records)
