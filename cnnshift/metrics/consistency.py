"""Consistency: does the class stay the same under a shift?

Seven quantities carry that name in the literature; here each has a name of its own.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.metrics.shift_groups import count_by_group
from cnnshift.observations import Observations


def evaluate_reference_consistency(observations: Observations) -> Values:
    """Mean over d ∈ D of [ŷ(T_d x) = ŷ(x)] per image, a fraction.

    The agreement with the unshifted image. 1 − value over the shifts with |d|∞ = 1 is
    P(top-1 change).

    Source: Azulay & Weiss 2019 (probability of a top-1 change).
    """
    return (observations.prediction == observations.reference_prediction[:, None]).mean(axis=1)


def evaluate_pairwise_consistency(observations: Observations) -> Values:
    """(Σ_c n_c² − m) / (m (m − 1)) per image, a fraction.

    The agreement over all ordered pairs of distinct members of D ∪ {0}: n_c counts the class c
    among its m = K + 1 members. Σ_c n_c² is the number of ordered pairs that agree, of which m pair
    a shift with itself and say nothing. What the published evaluators estimate with one random
    pair per batch is here the whole sum, so it has no sampling error over shifts.

    Source: Zhang 2019 (crops); Chaman & Dokmanić 2021 (circular shifts).
    """
    members = observations.prediction.shape[1] + 1
    return (_agreeing_pairs(observations) - members) / (members * (members - 1))


def evaluate_pairwise_consistency_replacement(observations: Observations) -> Values:
    """Σ_c n_c² / m² per image, a fraction: the same with the two shifts drawn with replacement.

    The samplers in the literature draw two independent shifts, and count a shift drawn twice as
    agreement; this is their expectation, at least as large as `pairwise_consistency`.

    Source: the published evaluators of Zhang 2019 and of Chaman & Dokmanić 2021.
    """
    members = observations.prediction.shape[1] + 1
    return _agreeing_pairs(observations) / members**2


def evaluate_conditional_consistency(observations: Observations) -> Values:
    """Mean over d ∈ D of [ŷ(T_d x) = ŷ(x)] per image with ŷ(x) = y, a fraction; NaN for the others.

    NaN says that an image does not count. Separates robustness from accuracy: a model is not
    rewarded for being wrong in the same way everywhere. Without a single correct image there is no
    value.
    """
    correct = observations.reference_prediction == observations.labels
    return np.where(correct, evaluate_reference_consistency(observations), np.nan)


def evaluate_fidelity(observations: Observations) -> Values:
    """Mean over d ∈ D of [ŷ(x) = y and ŷ(T_d x) = y] per image, a fraction.

    Correct with and without the shift. Equals accuracy × conditional consistency, and is at most
    either of accuracy and shifted accuracy.

    Source: Saha & Gokhale 2025 (fidelity).
    """
    still_correct = observations.prediction == observations.labels[:, None]
    correct = observations.reference_prediction == observations.labels
    return np.where(correct, still_correct.mean(axis=1), 0.0)


def _agreeing_pairs(observations: Observations) -> Int[np.ndarray, " n"]:
    images, classes = observations.reference_logits.shape
    counts = count_by_group(observations.prediction, images, classes)
    counts[np.arange(images), observations.reference_prediction] += 1
    return (counts**2).sum(axis=1)


_PAIRWISE = (
    "Zhang 2019; Chaman & Dokmanić 2021 (Making Convolutional Networks Shift-Invariant Again, "
    "ICML; Truly Shift-Invariant Convolutional Neural Networks, CVPR)"
)

REFERENCE_CONSISTENCY = Metric(
    MetricSpec(
        id="reference_consistency",
        title="consistency",
        unit="fraction",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference="Azulay & Weiss 2019, Why Do Deep Convolutional Networks Generalize so Poorly to "
        "Small Image Transformations? (JMLR 20)",
    ),
    evaluate_reference_consistency,
)

PAIRWISE_CONSISTENCY = Metric(
    MetricSpec(
        id="pairwise_consistency",
        title="pairwise consistency",
        unit="fraction",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference=_PAIRWISE,
    ),
    evaluate_pairwise_consistency,
)

PAIRWISE_CONSISTENCY_REPLACEMENT = Metric(
    MetricSpec(
        id="pairwise_consistency_replacement",
        title="pairwise consistency, replaced",
        unit="fraction",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference=_PAIRWISE,
    ),
    evaluate_pairwise_consistency_replacement,
)

CONDITIONAL_CONSISTENCY = Metric(
    MetricSpec(
        id="conditional_consistency",
        title="consistency if correct",
        unit="fraction",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference="",
        partial=True,
    ),
    evaluate_conditional_consistency,
)

FIDELITY = Metric(
    MetricSpec(
        id="fidelity",
        title="fidelity",
        unit="fraction",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference="Saha & Gokhale 2025, Improving Shift Invariance in Convolutional Neural "
        "Networks with Translation Invariant Polyphase Sampling (WACV)",
    ),
    evaluate_fidelity,
)
