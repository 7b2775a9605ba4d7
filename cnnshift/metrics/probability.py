"""Changes of the predicted probabilities under a shift."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.observations import Observations


def evaluate_mac(observations: Observations) -> Values:
    """Return the mean absolute change of the probability of class c = ŷ(x) over the shifts of each image.

    c is the class predicted for the unshifted image, at all shifts.
    """
    reference = observations.reference_probability.astype(np.float64)
    # A float32 softmax may exceed 1 by rounding.
    return np.clip(np.abs(observations.probability - reference[:, None]).mean(axis=1), 0.0, 1.0)


def evaluate_probability_range(observations: Observations) -> Values:
    """Return the difference between the largest and smallest probability of each image's label over D ∪ {0}.

    It cannot decrease if shifts are added, so values for different shift sets are not comparable.
    """
    reference = observations.reference_label_probability.astype(np.float64)
    largest = np.maximum(observations.label_probability.max(axis=1), reference)
    smallest = np.minimum(observations.label_probability.min(axis=1), reference)
    return np.clip(largest - smallest, 0.0, 1.0)


MAC = Metric(
    MetricSpec(
        id="mac",
        title="mean absolute change",
        formula="1/K Σ_{d ∈ D} |P_c(T_d x) − P_c(x)|, c = ŷ(x)",
        higher_is_better=False,
        reference="Azulay & Weiss 2019, Why Do Deep Convolutional Networks Generalize so Poorly to Small Image "
        "Transformations? (JMLR 20:184), mean absolute change",
    ),
    evaluate_mac,
)

PROBABILITY_RANGE = Metric(
    MetricSpec(
        id="probability_range",
        title="probability range",
        formula="max_{d ∈ D ∪ {0}} P_y(T_d x) − min_{d ∈ D ∪ {0}} P_y(T_d x)",
        higher_is_better=False,
        default_margin=0.02,
    ),
    evaluate_probability_range,
)
