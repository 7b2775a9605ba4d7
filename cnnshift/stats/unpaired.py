"""Interval of the difference of two summaries that have intervals of their own, such as two kappas.

With estimates a and b and their limits [l_a, u_a] and [l_b, u_b], MOVER gives for a − b

    low = a − b − √((a − l_a)² + (u_b − b)²),   high = a − b + √((u_a − a)² + (b − l_b)²)

as for two independent estimates. Two models measured on the same images are positively correlated
as a rule: what is hard for one is hard for the other. The interval is then conservative, that is
too wide. Where they are negatively correlated it is too narrow.

Source:
    Zou & Donner 2008, Statistics in Medicine 27:1693.
"""

from __future__ import annotations

import math

from cnnshift.stats.intervals import Interval

Summary = tuple[float, float, float]


def unpaired_interval(a: Summary, b: Summary) -> Interval:
    """Interval of a − b at the level that both intervals have; the module docstring has the formula.

    An infinite limit gives an infinite one.

    Args:
        a: value, lower limit and upper limit.
        b: likewise, of the one that is subtracted.

    Raises:
        ValueError: a value that is not finite, or not between its limits.

    Example:
        >>> found = unpaired_interval((0.8, 0.7, 0.9), (0.9, 0.85, 0.95))
        >>> round(found.low, 4), round(found.high, 4)
        (-0.2118, 0.0118)
    """
    for name, (value, low, high) in {"a": a, "b": b}.items():
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"{name} is {value} with limits {low} and {high}; it must be finite and between them")
    value = a[0] - b[0]
    low = value - math.hypot(a[0] - a[1], b[2] - b[0])
    high = value + math.hypot(a[2] - a[0], b[0] - b[1])
    return Interval(low, high, "MOVER of two summaries, as if independent")
