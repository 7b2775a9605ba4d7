"""Holm's adjustment of p-values for several tests at once.

With p₍₁₎ ≤ … ≤ p₍ᵣ₎ the adjusted values are p̃₍ₖ₎ = max over j ≤ k of min(1, (r − j + 1) p₍ⱼ₎). The
tests with p̃ ≤ α contain a false alarm with probability at most α, whatever the dependence of the
tests.

Source:
    Holm 1979, Scandinavian Journal of Statistics 6:65.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped


def holm(p_values: Shaped[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
    """Adjusted p-values, in the order of `p_values`; the formula is in the module docstring.

    No p-values give none.

    Args:
        p_values: one per test, each between 0 and 1.

    Raises:
        ValueError: an array that is not one-dimensional, or a value that is not between 0 and 1.

    Example:
        >>> holm(np.array([0.04, 0.01, 0.03])).tolist()
        [0.06, 0.03, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values are {p}; a list of numbers between 0 and 1 is needed")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
