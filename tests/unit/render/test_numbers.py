"""Rounding of percentages."""

import pytest

from cnnshift.render.numbers import percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "100"),
        (0.5, "50.0"),
        (0.99951, "99.95"),
        (0.999999, ">99.999"),
        (1e-7, "<0.001"),
        (0.0004, "0.04"),
        (-0.0, "0"),
        (-0.5, "−50.0"),
        (-0.99951, "−99.95"),
        (-1.0, "−100"),
        (-1e-7, ">−0.001"),
    ],
)
def test_only_exact_values_are_shown_as_0_or_100(value, text):
    assert percent(value) == text
