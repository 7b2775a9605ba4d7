"""Format `json`: everything, one document."""

import pydantic_core

from cnnshift.render.document import Document
from cnnshift.render.style import Style


def render(document: Document, style: Style) -> str:
    """The document's content; for a benchmark, that of its result file. `style` does not matter."""
    return pydantic_core.to_json(document.content, indent=1, by_alias=True).decode() + "\n"
