"""Flip probability: how often the class changes between adjacent shifts."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


def evaluate_flip_probability(observations: Observations) -> Values | Unavailable:
    """Return the fraction of adjacent pairs of shifts between which the class of each image changes.

    Two shifts, 0 included, are adjacent if they differ by one step along a row or column (for the set `diagonal`:
    along a diagonal). Every unordered pair counts once. A class that changes once along a path counts once; a class
    that alternates counts at every step. Consistency with the unshifted image does not distinguish the two.

    Unavailable if the shifts form no path (`random:K`) or no two of them are adjacent.
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
        formula="1/|A| Σ_{(d, e) ∈ A} [ŷ(T_d x) ≠ ŷ(T_e x)], A = adjacent pairs of D ∪ {0}",
        higher_is_better=False,
        reference="Hendrycks & Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions and "
        "Perturbations (ICLR), flip probability of ImageNet-P",
    ),
    evaluate_flip_probability,
)
