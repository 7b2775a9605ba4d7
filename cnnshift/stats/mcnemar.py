"""McNemar's exact test of two classifiers on the same images."""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Shaped


def mcnemar(base: Shaped[np.ndarray, " n"], candidate: Shaped[np.ndarray, " n"]) -> float:
    """Return the exact two-sided p-value of "both outcomes are 1 with the same probability".

    Of the b + c images on which exactly one outcome is 1, b have it under the base and c under the candidate. Under the
    null hypothesis b is binomial with n = b + c and probability ½, so p = min(1, 2 P(X ≤ min(b, c))). It is 1 if no
    image differs.

    The test is conditional on b + c. Its p-value is larger than that of the unconditional `paired.p_value`: 0.031
    instead of 0.024 for 6 losses and no gain among 200 images.

    Args:
        base: outcomes 0 and 1, or booleans, one per image.
        candidate: outcomes of the same images.

    Raises:
        ValueError: the shapes differ or are not one-dimensional, or a value is not 0 or 1.

    Example:
        >>> mcnemar(np.array([1, 1, 1, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 0, 0, 0]))
        0.03125

    References:
        McNemar 1947, Psychometrika 12:153.
        Fagerland, Lydersen & Laake 2013, BMC Medical Research Methodology 13:91 (exact conditional test).
    """
    from scipy import special

    first, second = np.asarray(base), np.asarray(candidate)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"base has shape {first.shape} and candidate {second.shape}; both must be [n]")
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise ValueError("base and candidate must hold only 0 and 1")
    gained, lost = int((second > first).sum()), int((second < first).sum())
    if gained == lost:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(gained, lost), gained + lost, 0.5)))
