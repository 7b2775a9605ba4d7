"""Accuracy without a shift, on average over the shifts, and at the worst shift."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.observations import Observations


def evaluate_accuracy(observations: Observations) -> Values:
    """Return 1 for every image that is classified correctly without a shift, else 0."""
    return (observations.reference_prediction == observations.labels).astype(np.float64)


def evaluate_shifted_accuracy(observations: Observations) -> Values:
    """Return the fraction of shifts at which each image is classified correctly.

    The unshifted image does not count. `cnnshift.metrics.profiles` has the accuracy at every shift and radius.
    """
    return (observations.prediction == observations.labels[:, None]).mean(axis=1)


def evaluate_worst_case_accuracy(observations: Observations) -> Values:
    """Return 1 for every image that is classified correctly at all shifts, including 0, else 0.

    The mean is the accuracy against an adversary who chooses the worst shift of each image, and at most the smallest
    accuracy at a single shift. Over the K shifts of `random:K` it is an upper bound of the value over all shifts.
    """
    correct = (observations.prediction == observations.labels[:, None]).all(axis=1)
    return (correct & (observations.reference_prediction == observations.labels)).astype(np.float64)


ACCURACY = Metric(
    MetricSpec(id="accuracy", title="accuracy", formula="[ŷ(x) = y]", higher_is_better=True), evaluate_accuracy
)

SHIFTED_ACCURACY = Metric(
    MetricSpec(
        id="shifted_accuracy",
        title="shifted accuracy",
        formula="1/K Σ_{d ∈ D} [ŷ(T_d x) = y]",
        higher_is_better=True,
        reference="Biscione & Bowers 2021, Convolutional Neural Networks Are Not Invariant to Translation, but They "
        "Can Learn to Be (JMLR 22:229), accuracy at displaced positions",
    ),
    evaluate_shifted_accuracy,
)

WORST_CASE_ACCURACY = Metric(
    MetricSpec(
        id="worst_case_accuracy",
        title="worst-case accuracy",
        formula="min_{d ∈ D ∪ {0}} [ŷ(T_d x) = y]",
        higher_is_better=True,
        reference="Engstrom et al. 2019, Exploring the Landscape of Spatial Robustness (ICML), grid search; "
        "Michaeli et al. 2023, Alias-Free Convnets (CVPR)",
    ),
    evaluate_worst_case_accuracy,
)
