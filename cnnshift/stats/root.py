"""Where a function crosses zero: one point at a time, or many.

scipy's `brentq` does the same, but importing scipy takes half as long as a comparison of results may.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

# Shares of the enclosure at which `find_fall` looks in every round, and, from the second, how far from the zero that
# is expected, as shares of the width.
_SHARES = np.linspace(0.0, 1.0, 5)
_AROUND = np.concatenate([-(10.0 ** np.arange(-1, -5, -1)), [0.0], 10.0 ** np.arange(-4, 0)])
_FIRST = _SHARES.size + _AROUND.size


def find_root(function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-10) -> float:
    """A zero of a continuous function between two points where its signs differ, by the Illinois method.

    False position, halving the value kept at an end that stays; every step keeps the zero enclosed.

    Args:
        function: continuous between the points.
        low: the one point.
        high: the other.
        tolerance: width of the enclosure at which to stop, in units of x.

    Raises:
        ValueError: the signs at the two points do not differ.

    Source: Dowell & Jarratt 1971, BIT 11:168.
    """
    f_low, f_high = function(low), function(high)
    if f_low * f_high > 0:
        raise ValueError(f"the function is {f_low} at {low} and {f_high} at {high}; its signs must differ")
    side = 0
    while abs(high - low) > tolerance and f_low and f_high:
        x = (f_low * high - f_high * low) / (f_low - f_high)
        # At an end, or beyond it by rounding, nothing more can be gained.
        if not low < x < high:
            break
        f_x = function(x)
        if f_x * f_high > 0:
            high, f_high = x, f_x
            f_low = f_low / 2 if side == 1 else f_low
            side = 1
        else:
            low, f_low = x, f_x
            f_high = f_high / 2 if side == -1 else f_high
            side = -1
    return low if abs(f_low) < abs(f_high) else high


def find_fall(
    function: Callable[[Float[np.ndarray, " r"]], Float[np.ndarray, " r"]],
    low: float,
    high: float,
    *,
    tolerance: float = 1e-10,
) -> float:
    """Where a falling function reaches 0, from its values at many points at once: cheaper than point by point.

    Every round encloses the zero between two points and interpolates linearly between them, which leaves an error of
    the square of the width; the points of the next round crowd around the interpolated one. Three rounds are usual
    where the function is nearly linear, and every round leaves a quarter of the width at most.

    Args:
        function: falling and continuous between the ends, with a curvature in units of 1 or less.
        low: the one end, returned where the function is not positive there.
        high: the other end; infinity is returned where the function is positive there.
        tolerance: error at which to stop, in units of x.
    """
    x = np.linspace(low, high, _FIRST)
    f = function(x)
    if f[0] <= 0 or f[-1] > 0:
        return low if f[0] <= 0 else math.inf
    while True:
        # The ends have kept their signs, but for rounding.
        i = 1 + int(np.argmax(np.append(f[1:-1] <= 0, True)))
        width = x[i] - x[i - 1]
        zero = float(np.clip(x[i - 1] + width * f[i - 1] / (f[i - 1] - f[i]), x[i - 1], x[i]))
        if width**2 <= tolerance:
            return zero
        around = np.clip(zero + width * _AROUND, x[i - 1], x[i])
        x = np.sort(np.concatenate([x[i - 1] + width * _SHARES[:-1], around, x[i : i + 1]]))
        f = function(x)
