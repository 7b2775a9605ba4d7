"""How far an image can move before its class changes."""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Summary, summarize_mean
from cnnshift.metrics.radii import find_failing_radius, group_by_radius
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


def evaluate_invariance_radius(observations: Observations) -> Summary | Unavailable:
    """Mean over images of the largest radius r with ŷ(T_d x) = ŷ(x) for all d ∈ D, |d|∞ ≤ r; in px.

    r is a radius of the shift set, and 0 where the class changes at its smallest radius: with a
    step of 4 px the values are 0, 4, 8, … An image whose class never changes has the reach R of the
    set, its true radius being R or more; the value is therefore the restricted mean up to R, the
    area under the survival curve of `cnnshift.metrics.profiles.by_radius`, and sets of different
    reach do not compare.
    The bounds of one image are 0 and R.

    Unavailable for `random:K`: K random shifts do not fill any radius.
    """
    if observations.per_image_shifts:
        return Unavailable("needs all shifts up to a radius, which random shifts are not")
    radii, ring = group_by_radius(observations)
    stays = observations.prediction == observations.reference_prediction[:, None]
    first = find_failing_radius(stays, ring, len(radii))
    reached = np.concatenate([[0], radii])[first].astype(np.float64)
    reach = float(radii[-1])
    censored = (first == len(radii)).mean()
    note = f"restricted to the reach of {reach:g} px, which {censored:.1%} of the images attain"
    return summarize_mean(reached, bounds=(0.0, reach), note=note)


INVARIANCE_RADIUS = Metric(
    MetricSpec(
        id="invariance_radius",
        title="invariance radius",
        unit="px",
        higher_is_better=True,
        default_margin=0.5,
        version=1,
        reference="",
        bounds=None,
    ),
    evaluate_invariance_radius,
)
