"""Invariance radius: how far an image can move before its class changes."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Summary, summarize_mean
from cnnshift.metrics.shift_groups import find_failing_radius, group_by_radius
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


def evaluate_invariance_radius(observations: Observations) -> Summary | Unavailable:
    """Return the largest radius up to which no shift changes the class of each image, in px.

    The radius is one of the shift set, or 0 if the class changes at the smallest: with a step of 4 px the values are
    0, 4, 8, …. It is censored at the largest radius R of the set: an image whose class never changes has the value R.
    The mean is therefore a restricted mean, the area under the survival curve of
    `cnnshift.metrics.profiles.profile_by_radius` up to R, and values for different R are not comparable. The bounds of
    one image are 0 and R.

    Unavailable for `random:K`, which does not cover all shifts up to a radius.
    """
    if observations.per_image_shifts:
        return Unavailable("needs all shifts up to a radius, which random shifts are not")
    radii, groups = group_by_radius(observations)
    stays = observations.prediction == observations.reference_prediction[:, None]
    first = find_failing_radius(stays, groups, len(radii))
    values = np.concatenate([[0], radii])[first].astype(np.float64)
    largest = float(radii[-1])
    censored = (first == len(radii)).mean()
    note = f"restricted mean up to {largest:g} px, which {censored:.1%} of the images reach"
    return summarize_mean(values, bounds=(0.0, largest), note=note)


INVARIANCE_RADIUS = Metric(
    MetricSpec(
        id="invariance_radius",
        title="invariance radius",
        formula="max {r : ŷ(T_d x) = ŷ(x) for all d ∈ D with |d|∞ ≤ r}",
        higher_is_better=True,
        unit="px",
        default_margin=0.5,
        bounds=None,
    ),
    evaluate_invariance_radius,
)
