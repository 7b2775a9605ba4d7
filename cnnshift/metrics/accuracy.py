"""Accuracy without a shift, over the shifts, and at the worst of them."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.observations import Observations


def evaluate_accuracy(observations: Observations) -> Values:
    """[ŷ(x) = y] per image, a fraction: accuracy without a shift."""
    return (observations.reference_prediction == observations.labels).astype(np.float64)


def evaluate_shifted_accuracy(observations: Observations) -> Values:
    """Mean over d ∈ D of [ŷ(T_d x) = y] per image, a fraction.

    The unshifted image is no member of D. The map over d and the curve over |d|∞ are in
    `cnnshift.metrics.profiles`.

    Source: Biscione & Bowers 2021 (accuracy at displaced positions).
    """
    return (observations.prediction == observations.labels[:, None]).mean(axis=1)


def evaluate_worst_case_accuracy(observations: Observations) -> Values:
    """Minimum over d ∈ D ∪ {0} of [ŷ(T_d x) = y] per image, a fraction.

    1 where every shift is classified correctly. An adversary picks the worst shift of every image
    on its own, so the value is at most the smallest accuracy at one shift. Over the K shifts of
    `random:K` it is an upper bound of that over all shifts.

    Source: Engstrom et al. 2019 (worst case over a grid of transformations).
    """
    correct = (observations.prediction == observations.labels[:, None]).all(axis=1)
    return (correct & (observations.reference_prediction == observations.labels)).astype(np.float64)


ACCURACY = Metric(
    MetricSpec(
        id="accuracy",
        title="accuracy",
        unit="fraction",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference="",
    ),
    evaluate_accuracy,
)

SHIFTED_ACCURACY = Metric(
    MetricSpec(
        id="shifted_accuracy",
        title="shifted accuracy",
        unit="fraction",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference="Biscione & Bowers 2021, Convolutional Neural Networks Are Not Invariant to "
        "Translation, but They Can Learn to Be (JMLR 22)",
    ),
    evaluate_shifted_accuracy,
)

WORST_CASE_ACCURACY = Metric(
    MetricSpec(
        id="worst_case_accuracy",
        title="worst-case accuracy",
        unit="fraction",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference="Engstrom et al. 2019, Exploring the Landscape of Spatial Robustness (ICML); "
        "Michaeli et al. 2023, Alias-Free Convnets (CVPR)",
    ),
    evaluate_worst_case_accuracy,
)
