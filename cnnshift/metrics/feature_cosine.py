"""Cosine similarity of the penultimate features with and without a shift."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


def evaluate_feature_cosine(observations: Observations) -> Values | Unavailable:
    """Return the mean cosine similarity of each image's penultimate features with and without a shift.

    Features after a ReLU are not negative, so that their cosine is never below 0 and unrelated images may have 0.5.
    Use the metric to compare models. The cosine of two zero vectors counts as 1, that of one zero vector as 0.

    Unavailable if the model does not expose its features.
    """
    if observations.cosine is None:
        return Unavailable("the model does not expose its penultimate features")
    # A float32 cosine may exceed 1 by rounding.
    return np.clip(observations.cosine.mean(axis=1, dtype=np.float64), -1.0, 1.0)


FEATURE_COSINE = Metric(
    MetricSpec(
        id="feature_cosine",
        title="feature cosine",
        formula="1/K Σ_{d ∈ D} cos(φ(T_d x), φ(x))",
        higher_is_better=True,
        unit="",
        reference="Myburgh et al. 2021, Tracking Translation Invariance in CNNs (arXiv:2104.05997); Biscione & Bowers "
        "2021, Convolutional Neural Networks Are Not Invariant to Translation, but They Can Learn to Be (JMLR 22:229)",
        bounds=(-1.0, 1.0),
    ),
    evaluate_feature_cosine,
)
