"""Holm's adjustment of p-values for multiple tests."""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Float, Shaped


def holm(p_values: Shaped[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
    """Return the adjusted p-values p̃₍ₖ₎ = max over j ≤ k of min(1, (r − j + 1) p₍ⱼ₎), in the order of `p_values`.

    p₍₁₎ ≤ … ≤ p₍ᵣ₎ are the sorted p-values. If the tests with p̃ ≤ α are rejected, the probability of any false
    rejection (family-wise error rate) is at most α, for any dependence between the tests. An empty array is returned
    for no tests.

    Args:
        p_values: one per test, each between 0 and 1.

    Raises:
        ValueError: the array is not one-dimensional, or a value is not between 0 and 1.

    Example:
        >>> holm(np.array([0.04, 0.01, 0.03])).tolist()
        [0.06, 0.03, 0.06]

    Reference:
        Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values is {p}; it must have one dimension and values between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
