"""Text of the generated pages: docstrings, tables and escaped Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any


class Docstring:
    """The text of a Google-style docstring, without its sections, and the items of a section."""

    SECTION = re.compile(r"^(Args|Attributes|Class attributes|Options|Returns|Raises|Source|Example|Examples):", re.M)

    def __init__(self, item: Any) -> None:
        # The object's own docstring: not that of a base class.
        self.text = inspect.cleandoc(vars(item).get("__doc__") or "" if inspect.isclass(item) else item.__doc__ or "")
        self.body = self.SECTION.split(self.text, maxsplit=1)[0].strip()

    def items(self, section: str) -> dict[str, str]:
        """Return name → text of the section's entries."""
        _, _, rest = self.text.partition(f"{section}:\n")
        block = re.split(r"^\S", rest, maxsplit=1, flags=re.M)[0]
        entries = re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", block, re.M)
        return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}


def module_or_class(item: Any) -> Docstring:
    """Return the docstring of a class, or of its module where the class only refers to it."""
    doc = Docstring(item)
    return Docstring(inspect.getmodule(item)) if not doc.body or doc.body.startswith("See the module") else doc


def code(text: str) -> str:
    return f"`{text}`"


def prose(text: str) -> str:
    """Escape the characters that Markdown takes for markup; text in backticks stays as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[\]|])", r"\\\1", part) for part in parts)


def cell(text: str) -> str:
    return prose(" ".join(text.split()))


def table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [headers, ["---" for _ in headers], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
