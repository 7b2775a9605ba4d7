"""Format `json`: the whole result."""

from cnnshift.render.style import Style
from cnnshift.results.files import to_json
from cnnshift.results.schema import Result


def render(result: Result, style: Style) -> str:
    """The result file's content; `style` does not matter."""
    return to_json(result)
