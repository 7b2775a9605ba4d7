"""The zero of a function against scipy's."""

import math

import numpy as np
import pytest
from scipy import optimize

from cnnshift.stats.root import find_fall, find_root


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (lambda x: x**3 - 2, 0.0, 2.0),
        (lambda x: math.exp(x) - 1e-12, -69.0, 0.0),
        (lambda x: math.tanh(50 * (x - 0.9)), -69.0, 1.0),
        (lambda x: 3 - x, 0.0, 10.0),
        (lambda x: x, 0.0, 1.0),
        (lambda x: 1.0 if x > 0.25 else -1.0, 0.0, 1.0),
    ],
)
def test_agrees_with_brent(function, low, high):
    assert find_root(function, low, high) == pytest.approx(optimize.brentq(function, low, high), abs=1e-9)


def test_needs_a_change_of_sign():
    with pytest.raises(ValueError, match="signs must differ"):
        find_root(lambda x: x * x + 1, -1.0, 1.0)


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (lambda x: 3 - x, 0.0, 10.0),
        (lambda x: 1e-12 - np.exp(x), -69.0, 0.0),
        (lambda x: np.tanh(50 * (0.9 - x)), -69.0, 1.0),
        (lambda x: np.minimum(1.0, 0.7 - x) - 0.1 * np.sin(x), 0.0, 11.4),
    ],
)
def test_many_points_at_a_time_agree_with_brent(function, low, high):
    assert find_fall(function, low, high) == pytest.approx(optimize.brentq(function, low, high), abs=1e-9)


def test_a_step_is_enclosed():
    assert find_fall(lambda x: np.where(x < 0.27, 1.0, -1.0), 0.0, 1.0) == pytest.approx(0.27, abs=1e-5)


def test_a_function_that_does_not_fall_through_0_between_the_ends():
    assert find_fall(lambda x: -x, 0.0, 2.0) == 0
    assert find_fall(lambda x: 3 - x, 0.0, 2.0) == math.inf
