"""Sensitivity: distance between the logits with and without a shift, relative to the distance between classes."""

from __future__ import annotations

import math

import numpy as np

from cnnshift.array_types import Float, Int
from cnnshift.metrics.base import Metric, MetricSpec, Summary, summarize_mean
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable

MAX_SAMPLED_IMAGES = 1000

# Squared distances below this fraction of the squared norms are rounding errors of float32 logits.
_RESOLUTION = 1e-13


def evaluate_sensitivity(observations: Observations) -> Summary | Unavailable:
    """Return the mean distance of each image's logits over the shifts, divided by the median inter-class distance.

    The divisor, see `interclass_distance`, makes models with different logit scales comparable: at 1, a shift changes
    the logits as much as a change of class. The interval holds it fixed.

    There is no interval if all images have the same value, such as 0 for an invariant model, because the values are
    not bounded above. Unavailable if all images have one label or the divisor is 0.
    """
    divisor = interclass_distance(observations.reference_logits, observations.labels)
    if isinstance(divisor, Unavailable):
        return divisor
    values = observations.distance.mean(axis=1, dtype=np.float64) / divisor
    sampled = f" of {MAX_SAMPLED_IMAGES:,} sampled images" if len(values) > MAX_SAMPLED_IMAGES else ""
    note = f"at a fixed median inter-class distance{sampled} of {divisor:.4g}"
    return summarize_mean(values, bounds=(0.0, math.inf), note=note)


def interclass_distance(logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float | Unavailable:
    """Return the median Euclidean distance over all pairs of images with different labels.

    Of more than 1,000 images, 1,000 are drawn without replacement with a fixed seed: the first 1,000 of a data set that
    is sorted by class would be of one class.

    Args:
        logits: f(x) of the unshifted images.
        labels: y.

    Returns:
        The distance in logits; unavailable if it is 0, or if no two of these images have different labels.

    Example:
        >>> logits = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
        >>> round(interclass_distance(logits, np.array([0, 1, 0])), 4)
        4.6213
    """
    if len(labels) > MAX_SAMPLED_IMAGES:
        order = np.argsort(np.random.default_rng(0).random(len(labels)), kind="stable")
        chosen = order[:MAX_SAMPLED_IMAGES]
        logits, labels = logits[chosen], labels[chosen]
    differ = labels[:, None] != labels
    if not differ.any():
        return Unavailable("needs images of at least two classes")
    # |a − b|² = |a|² + |b|² − 2ab needs one matrix product; centering reduces the cancellation.
    centered = logits.astype(np.float64) - logits.mean(axis=0, dtype=np.float64)
    norms = (centered**2).sum(axis=1)
    scale = norms[:, None] + norms
    squares = scale - 2 * (centered @ centered.T)
    squares[squares <= _RESOLUTION * scale] = 0.0
    # Every pair appears twice, which does not change the median.
    distance = float(np.median(np.sqrt(squares[differ])))
    return distance or Unavailable("the logits of images of different classes do not differ")


SENSITIVITY = Metric(
    MetricSpec(
        id="sensitivity",
        title="sensitivity",
        formula="1/K Σ_{d ∈ D} ‖f(T_d x) − f(x)‖₂ / median_{i, j : y_i ≠ y_j} ‖f(x_i) − f(x_j)‖₂",
        higher_is_better=False,
        unit="",
        default_margin=0.02,
        reference="Kauderer-Abrams 2017, Quantifying Translation-Invariance in Convolutional Neural Networks "
        "(arXiv:1801.01450), translation-sensitivity map",
        bounds=None,
    ),
    evaluate_sensitivity,
)
