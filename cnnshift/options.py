"""Validate the options of a spec against a pydantic model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import pydantic

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.errors import InputError, renamed_message, validation_message


class Options(pydantic.BaseModel):
    """Options of a family, a layer or a data set: the fields are the keys of a spec, with their allowed values.

    Class attributes:
        renamed: new names of keys of earlier versions, which are refused.
    """

    renamed: ClassVar[Mapping[str, str]] = {}

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def keys(cls, raw: Mapping[str, Any]) -> list[str]:
        """Return the keys that are allowed in a spec with the options `raw`."""
        return list(cls.model_fields)

    def changed(self) -> dict[str, str]:
        """Return the options that differ from their defaults, as text, in the order of the fields."""
        return {key: str(value) for key, value in self if value != type(self).model_fields[key].default}


AnyOptions = TypeVar("AnyOptions", bound=Options)


def parse_options(
    options_type: type[AnyOptions], owner: str, raw: Mapping[str, Any], *, also_allowed: Sequence[str] = ()
) -> AnyOptions:
    """Validate the options of a spec.

    Args:
        options_type: the allowed options.
        owner: name of the family, layer or data set, for the message.
        raw: keys and values as text.
        also_allowed: further keys of the spec, which are not in `raw`, for the message.

    Raises:
        InputError: an unknown or renamed key, or an invalid value.
    """
    if old := [key for key in raw if key in options_type.renamed]:
        raise InputError(" ".join(renamed_message(owner, key, options_type.renamed[key]) for key in old))
    allowed = options_type.keys(raw)
    if unknown := [key for key in raw if key not in allowed]:
        raise InputError(" ".join(_unknown(owner, key, [*allowed, *also_allowed]) for key in unknown))
    try:
        return options_type.model_validate(dict(raw))
    except pydantic.ValidationError as error:
        raise InputError(" ".join(_sentence(owner, problem) for problem in error.errors())) from None


def _unknown(owner: str, key: str, allowed: list[str]) -> str:
    # The option of a pooling layer has the name of the layer.
    hint = f" It belongs to pool={key}." if "pool" in allowed and key in DOWNSAMPLERS else ""
    return f"'{owner}' has no option '{key}'; allowed: {', '.join(allowed)}.{hint}"


def _sentence(owner: str, problem: Any) -> str:
    key = str(problem["loc"][0]) if problem["loc"] else ""
    return f"'{owner}' option {key} is '{problem['input']}'; {validation_message(problem)}."
