"""Where a function crosses zero.

scipy's `brentq` does the same, but importing scipy takes half as long as a comparison of results may.
"""

from __future__ import annotations

from collections.abc import Callable


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
