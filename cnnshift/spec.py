"""The grammar of specs: `name:key=value,key=value`, for models, data sets and nothing that is ever executed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cnnshift.errors import InputError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")


@dataclass(frozen=True, slots=True)
class Spec:
    """A name with options, as text.

    Attributes:
        name: what comes before the colon.
        options: keys and values as they were written, in that order.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}:{options}" if options else self.name


def parse_spec(text: str, kind: str) -> Spec:
    """Read `name` or `name:key=value,key=value`.

    Args:
        text: the spec as the user wrote it; spaces around its parts do not count.
        kind: what it names ("model", "data set"), for the message.

    Raises:
        InputError: no name, an option without `=`, an empty key or value, or a key given twice.
    """
    name, colon, rest = text.strip().partition(":")
    name = name.strip()
    if not _NAME.match(name):
        raise InputError(f"The {kind} spec '{text}' does not start with a name; write name:key=value,key=value.")
    options: dict[str, str] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (_NAME.match(key) and equals and value):
            raise InputError(f"The {kind} spec '{text}' has the option '{part}'; write key=value.")
        if key in options:
            raise InputError(f"The {kind} spec '{text}' gives the option '{key}' twice.")
        options[key] = value
    return Spec(name, options)
