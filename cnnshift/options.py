"""Options of a spec, validated: field names are the keys, annotations the allowed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import pydantic

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.errors import InputError, validation_message


class Options(pydantic.BaseModel):
    """Options of a family, a layer or a data set: fields are the keys of a spec, annotations their allowed values.

    Class attributes:
        renamed: keys of earlier versions and their new names, for the message that refuses them.
    """

    renamed: ClassVar[Mapping[str, str]] = {}

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def keys(cls, raw: Mapping[str, Any]) -> list[str]:
        """The keys that are allowed in a spec that holds `raw`."""
        return list(cls.model_fields)

    def changed(self) -> dict[str, str]:
        """The options that differ from their defaults, as text, in declared order: the canonical spec."""
        return {key: str(value) for key, value in self if value != type(self).model_fields[key].default}


AnyOptions = TypeVar("AnyOptions", bound=Options)


def parse_options(
    options_type: type[AnyOptions], owner: str, raw: Mapping[str, Any], *, also_allowed: Sequence[str] = ()
) -> AnyOptions:
    """Validate the text of a spec's options.

    Args:
        options_type: what is allowed.
        owner: whose options they are, for the message.
        raw: keys and values.
        also_allowed: keys that are allowed where these come from, and were taken out, for the message.

    Raises:
        InputError: an unknown key or value; the message says what is allowed.
    """
    if old := [key for key in raw if key in options_type.renamed]:
        raise InputError(" ".join(_renamed(owner, key, options_type.renamed[key]) for key in old))
    allowed = options_type.keys(raw)
    if unknown := [key for key in raw if key not in allowed]:
        raise InputError(" ".join(_unknown(owner, key, [*allowed, *also_allowed]) for key in unknown))
    try:
        return options_type.model_validate(dict(raw))
    except pydantic.ValidationError as error:
        raise InputError(" ".join(_sentence(owner, problem) for problem in error.errors())) from None


def _renamed(owner: str, old: str, new: str) -> str:
    return f"'{owner}' has no option '{old}'; it was renamed to '{new}'."


def _unknown(owner: str, key: str, allowed: list[str]) -> str:
    # A layer's own option is named after the layer.
    hint = f" It belongs to pool={key}." if "pool" in allowed and key in DOWNSAMPLERS else ""
    return f"'{owner}' has no option '{key}'; allowed: {', '.join(allowed)}.{hint}"


def _sentence(owner: str, problem: Any) -> str:
    key = str(problem["loc"][0]) if problem["loc"] else ""
    return f"'{owner}' option {key} is '{problem['input']}'; {validation_message(problem)}."
