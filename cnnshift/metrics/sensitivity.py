"""How far a shift moves the logits, in units of the distance between classes."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

from cnnshift.metrics.base import Metric, MetricSpec, Summary, summarize_mean
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable

MAX_SAMPLED_IMAGES = 1000

# Squared distances below this share of the squared norms are rounding errors of float32 logits.
_RESOLUTION = 1e-13


def evaluate_sensitivity(observations: Observations) -> Summary | Unavailable:
    """Mean over d ∈ D of ‖f(T_d x) − f(x)‖₂ per image / normaliser; a plain ratio, 0 or more.

    The normaliser is the median distance between the logits of two unshifted images with different
    labels (`interclass_distance`): a value of 1 says that a shift moves the output as far as a
    change of class does. It makes models with logits of different scale comparable. The interval
    takes it as given; the method states it. Distances per shift and by radius, before the
    division, are in `cnnshift.metrics.profiles`.

    Unavailable where all images have one label, or where the normaliser is 0. Without an interval
    where all images have the same value, 0 for an invariant model: nothing bounds the next one.

    Source: Kauderer-Abrams 2017 (translation-sensitivity map, divided by the median inter-class
    distance in score space).
    """
    normaliser = interclass_normalizer(observations)
    if isinstance(normaliser, Unavailable):
        return normaliser
    values = observations.distance.mean(axis=1, dtype=np.float64) / normaliser
    sampled = f" of {MAX_SAMPLED_IMAGES:,} sampled images" if len(values) > MAX_SAMPLED_IMAGES else ""
    note = f"at a fixed median inter-class distance{sampled} of {normaliser:.4g}"
    return summarize_mean(values, bounds=(0.0, math.inf), note=note)


def interclass_normalizer(observations: Observations) -> float | Unavailable:
    """What distances of logits are divided by; not available where it does not exist or is 0."""
    normaliser = interclass_distance(observations.reference_logits, observations.labels)
    if normaliser is None:
        return Unavailable("needs images of at least two classes")
    if normaliser == 0:
        return Unavailable("the logits of images of different classes do not differ")
    return normaliser


def interclass_distance(logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float | None:
    """Median Euclidean distance over all pairs of images with different labels.

    Of more than `MAX_SAMPLED_IMAGES` images, so many are used: drawn without replacement with a fixed
    seed, because the first ones of a data set sorted by class would be of one class.

    Args:
        logits: f(x) of the unshifted images.
        labels: y.

    Returns:
        The distance in logits; None where no two of the images used differ in their label.

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
        return None
    # |a − b|² = |a|² + |b|² − 2ab is one matrix product; centring keeps its cancellation small.
    centred = logits.astype(np.float64) - logits.mean(axis=0, dtype=np.float64)
    norms = (centred**2).sum(axis=1)
    scale = norms[:, None] + norms
    squares = scale - 2 * (centred @ centred.T)
    squares[squares <= _RESOLUTION * scale] = 0.0
    # Every pair appears twice, which does not move the median.
    return float(np.median(np.sqrt(squares[differ])))


SENSITIVITY = Metric(
    MetricSpec(
        id="sensitivity",
        title="sensitivity",
        unit="",
        higher_is_better=False,
        default_margin=0.02,
        version=1,
        reference="Kauderer-Abrams 2017, Quantifying Translation-Invariance in Convolutional "
        "Neural Networks (arXiv:1801.01450)",
        bounds=None,
    ),
    evaluate_sensitivity,
)
