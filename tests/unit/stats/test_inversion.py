"""The root of a decreasing function, compared with Brent's method of SciPy."""

import math

import numpy as np
import pytest
from scipy import optimize

from cnnshift.stats.inversion import find_decreasing_root


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (lambda x: 2 - x**3, 0.0, 2.0),
        (lambda x: 3 - x, 0.0, 10.0),
        (lambda x: 1e-12 - np.exp(x), -69.0, 0.0),
        (lambda x: np.tanh(50 * (0.9 - x)), -69.0, 1.0),
        (lambda x: np.minimum(1.0, 0.7 - x) - 0.1 * np.sin(x), 0.0, 11.4),
    ],
)
def test_agrees_with_brent(function, low, high):
    assert find_decreasing_root(function, low, high) == pytest.approx(optimize.brentq(function, low, high), abs=1e-9)


def test_encloses_a_step():
    step = find_decreasing_root(lambda x: np.where(x < 0.27, 1.0, -1.0), 0.0, 1.0)
    assert step == pytest.approx(0.27, abs=1e-5)


def test_returns_an_end_or_infinity_without_a_change_of_sign():
    assert find_decreasing_root(lambda x: -x, 0.0, 2.0) == 0
    assert find_decreasing_root(lambda x: 3 - x, 0.0, 2.0) == math.inf
