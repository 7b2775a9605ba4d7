"""Influence values: means over the images that count, as means over all images.

If only some images count for a metric, its mean x̄ over those images is a ratio of two means. The error of x̄ is, to
first order, that of the mean of the influence values

    e_i = x̄ + w_i (x_i − x̄) / w̄,   w_i = 1 if image i counts, else 0,   w̄ = mean of w_i,

whose mean is x̄. If the values x lie in an interval of width W, the influence values lie in one of width W / w̄, and
differences of two of them within ±W (2 / w̄ − 1), w̄ being the smaller fraction.

Reference:
    Hampel 1974, Journal of the American Statistical Association 69:383 (influence curve).
"""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Float

Bounds = tuple[float, float]


def influence_values(table: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """Return the influence values of every row; these are the row's values if all its images count.

    Args:
        table: values of m runs and n images, NaN for images that do not count; at least one per row counts.
    """
    counts = np.isfinite(table)
    means = np.nanmean(table, axis=1, keepdims=True)
    return means + (np.where(counts, table, means) - means) / counts.mean(axis=1, keepdims=True)


def mean_influence_bounds(table: Float[np.ndarray, "m n"], bounds: Bounds | None) -> Bounds | None:
    """Return bounds of the mean over the rows of an image's influence values, from the bounds of the values."""
    if bounds is None:
        return None
    fraction = np.isfinite(table).mean(axis=1)
    means = np.nanmean(table, axis=1)
    low = (means + (bounds[0] - means) / fraction).mean()
    high = (means + (bounds[1] - means) / fraction).mean()
    return float(min(low, bounds[0])), float(max(high, bounds[1]))


def influence_difference_bounds(
    base: Float[np.ndarray, "m1 n"], candidate: Float[np.ndarray, "m2 n"], bounds: Bounds | None
) -> Bounds | None:
    """Return bounds −w and w of the difference of two influence values of an image, from the bounds of the values."""
    if bounds is None:
        return None
    fraction = min(np.isfinite(table).mean(axis=1).min() for table in (base, candidate))
    width = (bounds[1] - bounds[0]) * (2 / fraction - 1)
    return float(-width), float(width)
