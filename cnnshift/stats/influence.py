"""Means over the images that count, as means over all images.

In a metric for which only some images count, the mean over those that do is a ratio of two means. Its error is that of
the mean of the influence values

    e_i = x̄ + w_i (x_i − x̄) / w̄,   w_i = 1 if image i counts, else 0,   w̄ the share that does,

whose mean is x̄ itself. With values in an interval of width W they lie in one of width W / w̄, and differences of two
such influences within ± W (2 / w̄ − 1), w̄ the smaller share.

Source: Hampel 1974, Journal of the American Statistical Association 69:383 (influence curve).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Bounds = tuple[float, float]


def influence_values(table: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """Influences of every row; the row itself where all its images count.

    Args:
        table: values, NaN where an image does not count; at least one per row does.
    """
    counts = np.isfinite(table)
    means = np.nanmean(table, axis=1, keepdims=True)
    return means + (np.where(counts, table, means) - means) / counts.mean(axis=1, keepdims=True)


def mean_influence_bounds(table: Float[np.ndarray, "m n"], bounds: Bounds | None) -> Bounds | None:
    """Between what the mean over the rows of the influences of any image must lie, given that of its values."""
    if bounds is None:
        return None
    share = _share(table)
    means = np.nanmean(table, axis=1)
    low = (means + (bounds[0] - means) / share).mean()
    high = (means + (bounds[1] - means) / share).mean()
    return float(min(low, bounds[0])), float(max(high, bounds[1]))


def influence_difference_bounds(
    base: Float[np.ndarray, "m1 n"], candidate: Float[np.ndarray, "m2 n"], bounds: Bounds | None
) -> Bounds | None:
    """The same for the difference of two influences: −w and w."""
    if bounds is None:
        return None
    share = min(_share(base).min(), _share(candidate).min())
    width = (bounds[1] - bounds[0]) * (2 / share - 1)
    return float(-width), float(width)


def _share(table: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
    return np.isfinite(table).mean(axis=1)
