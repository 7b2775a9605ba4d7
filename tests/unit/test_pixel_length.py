"""Lengths in pixels: parsing and formatting."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnshift.pixel_length import MAX_DENOMINATOR, format_length, format_shift, parse_length, serialize_length

LENGTHS = st.fractions(min_value=Fraction(1, MAX_DENOMINATOR), max_value=1000, max_denominator=MAX_DENOMINATOR)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, (2, 1)),
        ("2", (2, 1)),
        (" 1/3 ", (1, 3)),
        ("2/6", (1, 3)),
        ("0.25", (1, 4)),
        (".5", (1, 2)),
        ("8.0", (8, 1)),
        (0.25, (1, 4)),
        (1 / 3, (1, 3)),
        (5 / 7, (5, 7)),
        (Fraction(4, 3), (4, 3)),
    ],
)
def test_lengths_are_parsed_as_fractions(value, expected):
    assert parse_length(value) == Fraction(*expected)


@pytest.mark.parametrize(
    "wrong",
    ["0", 0, "-1", -0.5, "1/0", "x", "", "1/3/4", "1e3", "1e999999999", "inf", float("nan"), float("inf"), "0.3333",
     0.3333, "1/101", True, None, [1], 10**9, "٣"],
)  # fmt: skip
def test_invalid_lengths_are_refused(wrong):
    with pytest.raises(ValueError, match=r"allowed: pixels above 0, whole or a fraction such as 1/3 .* at most 100"):
        parse_length(wrong)


@given(LENGTHS)
def test_lengths_round_trip_through_files_and_floats(length):
    serialized = serialize_length(length)
    assert isinstance(serialized, int) == (length.denominator == 1)
    assert parse_length(serialized) == parse_length(float(length)) == length
    assert format_length(float(-length)) == str(-length)


def test_shifts_are_formatted_as_fractions():
    assert format_shift(np.array([-4, 5]) / 3) == "(dy=-4/3, dx=5/3)"
    assert format_shift(np.array([-4, 5], np.int32)) == "(dy=-4, dx=5)"
    assert format_length(0.123456) == "0.123456"
