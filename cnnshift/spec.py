"""The grammar of specs: `name:key=value,key=value`, for models and data sets; nothing in a spec is ever executed.

A name that stands for something of the user's own is followed by what it is: `name:ARGUMENT:key=value,key=value`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from cnnshift.catalog import DATASETS, LOADERS, MODELS
from cnnshift.errors import InputError
from cnnshift.registry import unknown

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")
_OPTION = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_.\-]*\s*=\s*\S")


_FILES = {".onnx": "onnx:{}", ".pt2": "torch:{}", ".py": "py:{}:FACTORY", ".npz": "npz:{}"}
"""How files are named, by their endings."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A name with options, as text.

    Attributes:
        name: what comes before the colon.
        options: keys and values as they were written, in that order.
        argument: what stands between the name and the options, such as the path of a file: of names that ask for it.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    argument: str = ""

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return ":".join(part for part in (self.name, self.argument, options) if part)


def parse_spec(text: str, kind: str) -> Spec:
    """Read `name`, `name:key=value,key=value` or, of a name that takes an argument, `name:ARGUMENT:key=value`.

    An argument may hold colons, and so may a value: what is written as options are begins after the last colon that
    leaves nothing else behind it.

    Args:
        text: the spec as the user wrote it; spaces around its parts do not count.
        kind: what it names ("model", "data set"), for the message.

    Raises:
        InputError: no name, an option without `=`, an empty key or value, or a key given twice.
    """
    name, colon, rest = text.strip().partition(":")
    name = name.strip()
    if (written := _FILES.get(PurePath(name).suffix)) is not None:
        raise InputError(f"The {kind} spec '{text}' starts with a file; write {written.format(name)}.")
    if not _NAME.match(name):
        raise InputError(f"The {kind} spec '{text}' does not start with a name; write name:key=value,key=value.")
    argument = ""
    if argument_of(name):
        argument, rest = _split_argument(rest)
        colon = rest
    options: dict[str, str] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (_NAME.match(key) and equals and value):
            known = {"model": [*MODELS, *LOADERS], "data set": [*DATASETS]}.get(kind, [name])
            if name not in known:
                raise InputError(unknown(kind, name, known))
            raise InputError(f"The {kind} spec '{text}' has the option '{part}'; write key=value.")
        if key in options:
            raise InputError(f"The {kind} spec '{text}' gives the option '{key}' twice.")
        options[key] = value
    return Spec(name, options, argument)


def argument_of(name: str) -> str:
    """What has to follow a name in a spec, `FILE` or `DIR`, or an empty string."""
    return next((table[name].argument for table in (MODELS, LOADERS, DATASETS) if name in table), "")


def _split_argument(rest: str) -> tuple[str, str]:
    """Options are what follows the last colon after which everything is written as options are."""
    parts = rest.split(":")
    for start in range(len(parts) - 1, 0, -1):
        options = ":".join(parts[start:])
        if all(_OPTION.match(part) for part in options.split(",")):
            return ":".join(parts[:start]).strip(), options
    return rest.strip(), ""


def extend(spec: Spec, kind: str, **more: object) -> Spec:
    """A spec with further options; those that are None are left out.

    Raises:
        InputError: the spec already has the option, with another value.
    """
    given = {key: str(value) for key, value in more.items() if value is not None}
    for key, value in given.items():
        if spec.options.get(key, value) != value:
            raise InputError(f"{key} is {value}, but the {kind} spec '{spec}' says otherwise; give one.")
    return Spec(spec.name, {**spec.options, **given}, spec.argument)
