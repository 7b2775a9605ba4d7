"""Format `json`: everything, as one document."""

import pydantic_core

from cnnshift.render.document import Document, Style


def render(document: Document, style: Style) -> str:
    """Return the content of the document; for a benchmark, the result file. `style` is not used."""
    return pydantic_core.to_json(document.content, indent=1, by_alias=True).decode() + "\n"
