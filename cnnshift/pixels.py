"""Lengths in pixels: whole ones, and exact fractions such as 1/3, which no binary number is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from numbers import Integral
from typing import Annotated, Any, SupportsFloat

MAX_DENOMINATOR = 100
"""Finest part of a pixel. It refuses 0.3333, which is not what its writer meant."""

_ALLOWED = (
    f"allowed: pixels above 0, whole or a fraction such as 1/3 or 0.25 whose denominator is at most {MAX_DENOMINATOR}"
)
_TEXT = re.compile(r"\s*(?:\d{1,9}(?:/0*[1-9]\d{0,8}|\.\d{1,9})?|\.\d{1,9})\s*", re.ASCII)


def read_pixels(value: Any) -> Fraction:
    """A length from what a user, a program or a file gives: `2`, `"1/3"`, `"0.25"`, `0.25`, `1 / 3`.

    A binary number stands for the fraction that it is nearest to, if there is one: 1 / 3 is 1/3, and 0.3333 nothing.

    Raises:
        ValueError: not a length, or too fine a fraction; the message says what is allowed.
    """
    found = None
    if isinstance(value, str):
        # Fraction alone would also read 1e999999999, and never come back.
        found = Fraction(value) if _TEXT.fullmatch(value) else None
    elif isinstance(value, float):
        found = _nearest(value)
    elif isinstance(value, Integral | Fraction) and not isinstance(value, bool):
        found = Fraction(int(value) if isinstance(value, Integral) else value)
    if found is None or found.denominator > MAX_DENOMINATOR or not 0 < found < 10**9:
        raise ValueError(_ALLOWED)
    return found


def write_pixels(value: Fraction) -> int | str:
    """A length as a file holds it: a whole number, or a text such as "1/3"."""
    return value.numerator if value.denominator == 1 else str(value)


def show_pixels(value: SupportsFloat) -> str:
    """A length or a coordinate for people: `2`, `-1/3`."""
    found = _nearest(float(value))
    return f"{float(value):g}" if found is None else str(found)


def show_shift(d: Iterable[SupportsFloat]) -> str:
    """A shift (dy, dx) for people."""
    dy, dx = map(show_pixels, d)
    return f"(dy={dy}, dx={dx})"


def _nearest(value: float) -> Fraction | None:
    """The fraction whose nearest binary number this is."""
    if not abs(value) < 10**9:
        return None
    found = Fraction(value).limit_denominator(MAX_DENOMINATOR)
    return found if float(found) == value else None


class _AsFraction:
    """Tells pydantic how to read and write a length; pydantic is imported only by those who use it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        written = core_schema.plain_serializer_function_ser_schema(write_pixels)
        return core_schema.no_info_plain_validator_function(read_pixels, serialization=written)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[1-9][0-9]*/[1-9][0-9]*$"}]
        }


Pixels = Annotated[Fraction, _AsFraction()]
"""A length as a field of settings and of result files."""
