"""Consistency: whether the predicted class stays the same under a shift.

The literature uses this word for different quantities; here each has its own name.
"""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Int
from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.metrics.shift_groups import count_by_group
from cnnshift.observations import Observations


def evaluate_reference_consistency(observations: Observations) -> Values:
    """Return the fraction of shifts at which each image has the class of the unshifted image.

    Azulay & Weiss report P(top-1 change), the probability that a shift by one pixel from a random position changes the
    class. Here the reference is the unshifted image.
    """
    return (observations.prediction == observations.reference_prediction[:, None]).mean(axis=1)


def evaluate_pairwise_consistency(observations: Observations) -> Values:
    """Return the fraction of ordered pairs of distinct shifts, including 0, that give an image the same class.

    Σ_c n_c² counts the ordered pairs with equal classes; m of them pair a shift with itself and are subtracted.
    Published evaluation code draws one random pair of shifts per batch; the sum over all pairs has no sampling error
    over shifts.
    """
    members = observations.prediction.shape[1] + 1
    return (_agreeing_pairs(observations) - members) / (members * (members - 1))


def evaluate_pairwise_consistency_replacement(observations: Observations) -> Values:
    """Return the fraction of ordered pairs of shifts, equal shifts included, that give an image the same class.

    This is the expectation of evaluation code that draws both shifts independently, so that a shift drawn twice counts
    as agreement. It is at least `pairwise_consistency`.
    """
    members = observations.prediction.shape[1] + 1
    return _agreeing_pairs(observations) / members**2


def evaluate_conditional_consistency(observations: Observations) -> Values:
    """Return the reference consistency of images that are classified correctly without a shift, NaN for others.

    It separates robustness from accuracy: predicting the same wrong class at all shifts does not count. There is no
    value if no image is classified correctly.
    """
    correct = observations.reference_prediction == observations.labels
    return np.where(correct, evaluate_reference_consistency(observations), np.nan)


def evaluate_fidelity(observations: Observations) -> Values:
    """Return the fraction of shifts at which each image is classified correctly both with and without the shift.

    The mean equals accuracy × conditional consistency and is at most accuracy and at most shifted accuracy.
    """
    shifted = observations.prediction == observations.labels[:, None]
    correct = observations.reference_prediction == observations.labels
    return np.where(correct, shifted.mean(axis=1), 0.0)


def _agreeing_pairs(observations: Observations) -> Int[np.ndarray, " n"]:
    images, classes = observations.reference_logits.shape
    counts = count_by_group(observations.prediction, images, classes)
    counts[np.arange(images), observations.reference_prediction] += 1
    return (counts**2).sum(axis=1)


_PAIRWISE = (
    "Zhang 2019, Making Convolutional Networks Shift-Invariant Again (ICML), crops; Chaman & Dokmanić 2021, Truly "
    "Shift-Invariant Convolutional Neural Networks (CVPR), circular shifts"
)
_COUNTS = "n_c = number of d ∈ D ∪ {0} with ŷ(T_d x) = c, m = K + 1"

REFERENCE_CONSISTENCY = Metric(
    MetricSpec(
        id="reference_consistency",
        title="consistency",
        formula="1/K Σ_{d ∈ D} [ŷ(T_d x) = ŷ(x)]",
        higher_is_better=True,
        reference="Azulay & Weiss 2019, Why Do Deep Convolutional Networks Generalize so Poorly to Small Image "
        "Transformations? (JMLR 20:184), P(top-1 change)",
    ),
    evaluate_reference_consistency,
)

PAIRWISE_CONSISTENCY = Metric(
    MetricSpec(
        id="pairwise_consistency",
        title="pairwise consistency",
        formula=f"(Σ_c n_c² − m) / (m (m − 1)), {_COUNTS}",
        higher_is_better=True,
        reference=_PAIRWISE,
    ),
    evaluate_pairwise_consistency,
)

PAIRWISE_CONSISTENCY_REPLACEMENT = Metric(
    MetricSpec(
        id="pairwise_consistency_replacement",
        title="pairwise consistency, replaced",
        formula=f"Σ_c n_c² / m², {_COUNTS}",
        higher_is_better=True,
        reference=f"{_PAIRWISE}; as sampled by their published code",
    ),
    evaluate_pairwise_consistency_replacement,
)

CONDITIONAL_CONSISTENCY = Metric(
    MetricSpec(
        id="conditional_consistency",
        title="consistency if correct",
        formula="1/K Σ_{d ∈ D} [ŷ(T_d x) = ŷ(x)] for images with ŷ(x) = y",
        higher_is_better=True,
        partial=True,
    ),
    evaluate_conditional_consistency,
)

FIDELITY = Metric(
    MetricSpec(
        id="fidelity",
        title="fidelity",
        formula="1/K Σ_{d ∈ D} [ŷ(x) = y] [ŷ(T_d x) = y]",
        higher_is_better=True,
        reference="Saha & Gokhale 2025, Improving Shift Invariance in Convolutional Neural Networks with Translation "
        "Invariant Polyphase Sampling (WACV)",
    ),
    evaluate_fidelity,
)
