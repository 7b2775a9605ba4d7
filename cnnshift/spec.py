"""Specs of models and data sets: `name:key=value,key=value`, or `name:ARGUMENT:key=value` for names with an argument.

Parsing executes nothing. The options of a spec are text until `cnnshift.options.parse_options` validates them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import ClassVar, Self

from cnnshift.catalog import DATASETS, LOADERS, MODELS
from cnnshift.errors import InputError
from cnnshift.registry import Registry, unknown

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")
_OPTION = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_.\-]*\s*=\s*\S")

_FILE_SPECS = {".onnx": "onnx:{}", ".pt2": "torch:{}", ".py": "py:{}:FACTORY", ".npz": "npz:{}"}
"""The spec of a file by its suffix, for the message about a spec that starts with a file."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed spec.

    Attributes:
        name: a registered name.
        options: keys and values as written, in that order.
        argument: the text between name and options, such as the path of a file; empty for names without an argument.

    Class attributes:
        kind: what the spec names, for messages.
        tables: the registries of the allowed names.
    """

    kind: ClassVar[str]
    tables: ClassVar[tuple[Registry, ...]]

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    argument: str = ""

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return ":".join(part for part in (self.name, self.argument, options) if part)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `name`, `name:key=value,key=value` or, for a name with an argument, `name:ARGUMENT:key=value`.

        An argument and a value may contain colons: the options start after the last colon that is followed by
        options only. Spaces around the parts are ignored.

        Raises:
            InputError: There is no name, an option without `=`, an empty key or value, or a repeated key.
        """
        name, colon, rest = text.strip().partition(":")
        name = name.strip()
        if (suggestion := _FILE_SPECS.get(PurePath(name).suffix)) is not None:
            raise InputError(f"The {cls.kind} spec '{text}' starts with a file; write {suggestion.format(name)}.")
        if not _NAME.match(name):
            raise InputError(
                f"The {cls.kind} spec '{text}' does not start with a name; write name:key=value,key=value."
            )
        argument = ""
        if argument_of(name):
            argument, rest = _split_argument(rest)
            colon = rest
        options: dict[str, str] = {}
        for part in rest.split(",") if colon else ():
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not (_NAME.match(key) and equals and value):
                if not any(name in table for table in cls.tables):
                    raise InputError(unknown(cls.kind, name, [known for table in cls.tables for known in table]))
                raise InputError(f"The {cls.kind} spec '{text}' has the option '{part}'; write key=value.")
            if key in options:
                raise InputError(f"The {cls.kind} spec '{text}' gives the option '{key}' twice.")
            options[key] = value
        return cls(name, options, argument)

    def extend(self, **more: object) -> Self:
        """Return a spec with further options; options that are None are left out.

        Raises:
            InputError: The spec has one of these options with another value.
        """
        added = {key: str(value) for key, value in more.items() if value is not None}
        for key, value in added.items():
            if self.options.get(key, value) != value:
                raise InputError(
                    f"{key} is {value}, but the {self.kind} spec '{self}' has {key}={self.options[key]}; set one."
                )
        return type(self)(self.name, {**self.options, **added}, self.argument)


@dataclass(frozen=True, slots=True)
class ModelSpec(Spec):
    """The spec of a model: a family with its options and the recipe's, or a loader with its argument and options."""

    kind: ClassVar[str] = "model"
    tables: ClassVar[tuple[Registry, ...]] = (MODELS, LOADERS)


@dataclass(frozen=True, slots=True)
class DatasetSpec(Spec):
    """The spec of a data set."""

    kind: ClassVar[str] = "data set"
    tables: ClassVar[tuple[Registry, ...]] = (DATASETS,)


def argument_of(name: str) -> str:
    """Return the placeholder of a name's argument, such as `FILE` or `DIR`; empty for names without an argument."""
    return next((table[name].argument for table in (MODELS, LOADERS, DATASETS) if name in table), "")


def _split_argument(rest: str) -> tuple[str, str]:
    """Split at the last colon that is followed by options only."""
    parts = rest.split(":")
    for start in range(len(parts) - 1, 0, -1):
        options = ":".join(parts[start:])
        if all(_OPTION.match(part) for part in options.split(",")):
            return ":".join(parts[:start]).strip(), options
    return rest.strip(), ""
