"""How far a shift turns the penultimate features."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


def evaluate_feature_cosine(observations: Observations) -> Values | Unavailable:
    """Mean over d ∈ D of cos(φ(T_d x), φ(x)) per image, φ the penultimate features; −1 to 1.

    Features after a ReLU are not negative, so that their cosine is never below 0 and two unrelated
    images may well have 0.5: compare models, do not read the number on its own.

    Features that are all 0 have no direction: the sweep counts two of them as 1, and one as 0.
    Unavailable for a model that does not expose its features.

    Source: Myburgh et al. 2021 (cosine instead of Euclidean distance); Biscione & Bowers 2021.
    """
    if observations.cosine is None:
        return Unavailable("the model does not expose its penultimate features")
    # A float32 cosine may exceed 1 in its last bit; the bounds of the interval must still hold.
    return np.clip(observations.cosine.mean(axis=1, dtype=np.float64), -1.0, 1.0)


FEATURE_COSINE = Metric(
    MetricSpec(
        id="feature_cosine",
        title="feature cosine",
        unit="",
        higher_is_better=True,
        default_margin=0.01,
        version=1,
        reference="Myburgh et al. 2021; Biscione & Bowers 2021 (Tracking Translation Invariance in "
        "CNNs, arXiv:2104.05997; Convolutional Neural Networks Are Not Invariant to Translation, "
        "but They Can Learn to Be, JMLR 22)",
        bounds=(-1.0, 1.0),
    ),
    evaluate_feature_cosine,
)
