"""An extension of griffe, which mkdocstrings uses: read a section `Example:` as `Examples:`."""

import re
from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Rename the section, whose singular form griffe takes for an admonition."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of a collected object."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.M)
