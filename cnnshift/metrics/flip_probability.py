"""How often the class changes from one step of a path to the next."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


def evaluate_flip_probability(observations: Observations) -> Values | Unavailable:
    """Mean over pairs of adjacent shifts of [ŷ changes] per image, a fraction.

    Adjacent are shifts one step of the set apart along a row or a column (along the diagonal for
    the set `diagonal`), the unshifted image included; every pair counts once, in no direction.
    Unlike consistency it does not compare with a fixed image: a class that changes once on the way
    costs one pair, one that flickers costs many.

    Unavailable where the shifts form no path (`random:K`), or where none has a neighbour.

    Source: Hendrycks & Dietterich 2019 (flip probability of ImageNet-P).
    """
    pairs = observations.neighbours
    if pairs is None:
        return Unavailable("needs shifts that form a path, which random shifts do not")
    if not len(pairs):
        return Unavailable("no two shifts of the set are one step apart")
    # One row per shift: gathering rows is several times faster than gathering columns.
    by_shift = np.vstack([observations.reference_prediction, observations.prediction.T])
    return (by_shift[pairs[:, 0]] != by_shift[pairs[:, 1]]).mean(axis=0)


FLIP_PROBABILITY = Metric(
    MetricSpec(
        id="flip_probability",
        title="flip probability",
        unit="fraction",
        higher_is_better=False,
        default_margin=0.01,
        version=1,
        reference="Hendrycks & Dietterich 2019, Benchmarking Neural Network Robustness to Common "
        "Corruptions and Perturbations (ICLR)",
    ),
    evaluate_flip_probability,
)
