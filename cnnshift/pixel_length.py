"""Lengths in pixels as exact fractions, because 1/3 has no binary representation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from numbers import Integral
from typing import Annotated, Any, SupportsFloat

MAX_DENOMINATOR = 100
"""Largest denominator. It rejects 0.3333, which is usually meant as 1/3."""

_ALLOWED = (
    f"allowed: pixels above 0, whole or a fraction such as 1/3 or 0.25 whose denominator is at most {MAX_DENOMINATOR}"
)
_TEXT = re.compile(r"\s*(?:\d{1,9}(?:/0*[1-9]\d{0,8}|\.\d{1,9})?|\.\d{1,9})\s*", re.ASCII)


def parse_length(value: Any) -> Fraction:
    """Parse a length such as `2`, `"1/3"`, `"0.25"`, `0.25` or `1 / 3`.

    A float is read as the fraction whose nearest float it is: 1 / 3 becomes 1/3, and 0.3333 is rejected.

    Raises:
        ValueError: not a length above 0, or its denominator is too large; the message states what is allowed.
    """
    length = None
    if isinstance(value, str):
        # Check the form first: Fraction("1e999999999") would not return in reasonable time.
        length = Fraction(value) if _TEXT.fullmatch(value) else None
    elif isinstance(value, float):
        length = _exact_fraction(value)
    elif isinstance(value, Integral | Fraction) and not isinstance(value, bool):
        length = Fraction(int(value) if isinstance(value, Integral) else value)
    if length is None or length.denominator > MAX_DENOMINATOR or not 0 < length < 10**9:
        raise ValueError(_ALLOWED)
    return length


def serialize_length(value: Fraction) -> int | str:
    """Return a length as stored in a file: an integer, or text such as "1/3"."""
    return value.numerator if value.denominator == 1 else str(value)


def format_length(value: SupportsFloat) -> str:
    """Format a length or a coordinate for a message, as `2` or `-1/3`."""
    fraction = _exact_fraction(float(value))
    return f"{float(value):g}" if fraction is None else str(fraction)


def format_shift(d: Iterable[SupportsFloat]) -> str:
    """Format a shift for a message, as `(dy=1, dx=-1/3)`."""
    dy, dx = map(format_length, d)
    return f"(dy={dy}, dx={dx})"


def _exact_fraction(value: float) -> Fraction | None:
    """Return the fraction with a small denominator whose nearest float is `value`, if there is one."""
    if not abs(value) < 10**9:
        return None
    fraction = Fraction(value).limit_denominator(MAX_DENOMINATOR)
    return fraction if float(fraction) == value else None


class _LengthSchema:
    """The pydantic schema of a length; pydantic_core is imported only when a model uses it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        serializer = core_schema.plain_serializer_function_ser_schema(serialize_length)
        return core_schema.no_info_plain_validator_function(parse_length, serialization=serializer)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[1-9][0-9]*/[1-9][0-9]*$"}]
        }


PixelLength = Annotated[Fraction, _LengthSchema()]
"""A length as a field of a pydantic model."""
