"""How much probabilities change under a shift, whether or not the class does."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.observations import Observations


def evaluate_mac(observations: Observations) -> Values:
    """Mean over d ∈ D of |P_c(x) − P_c(T_d x)| per image, c = ŷ(x); a fraction.

    c is the unshifted image's class, at every shift.

    Source: Azulay & Weiss 2019 (mean absolute change).
    """
    reference = observations.reference_probability.astype(np.float64)
    change = np.abs(observations.probability - reference[:, None]).mean(axis=1)
    return _clip(change)


def evaluate_probability_range(observations: Observations) -> Values:
    """Largest minus smallest P_y(T_d x) over d ∈ D ∪ {0} per image; a fraction.

    The swing that an adversary who moves the image has over the label's probability. It grows with
    the number of shifts, so sets of different size do not compare.
    """
    reference = observations.reference_label_probability.astype(np.float64)
    shifted = observations.label_probability
    largest = np.maximum(shifted.max(axis=1), reference)
    smallest = np.minimum(shifted.min(axis=1), reference)
    return _clip(largest - smallest)


def _clip(values: Values) -> Values:
    # A float32 softmax may exceed 1 in its last bit; the bounds of the interval must still hold.
    return np.clip(values, 0.0, 1.0)


MAC = Metric(
    MetricSpec(
        id="mac",
        title="mean absolute change",
        unit="fraction",
        higher_is_better=False,
        default_margin=0.01,
        version=1,
        reference="Azulay & Weiss 2019, Why Do Deep Convolutional Networks Generalize so Poorly to "
        "Small Image Transformations? (JMLR 20)",
    ),
    evaluate_mac,
)

PROBABILITY_RANGE = Metric(
    MetricSpec(
        id="probability_range",
        title="probability range",
        unit="fraction",
        higher_is_better=False,
        default_margin=0.02,
        version=1,
        reference="",
    ),
    evaluate_probability_range,
)
