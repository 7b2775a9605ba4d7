"""Consistency by the phase of a shift, its position on the grid of the total stride.

In a network with total stride S, shifts by multiples of S px keep the sampling grid, other shifts change it. Aliasing
is therefore periodic in d with period S, while border effects grow with |d|.
"""

from __future__ import annotations

import numpy as np

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.metrics.shift_groups import average_by_group, count_by_group, group_by_radius, shift_phases
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


def evaluate_phase_spectrum(observations: Observations) -> Values | Unavailable:
    """Return the consistency at shifts on the grid of the total stride minus that off the grid at equal radius.

    G holds the shifts d ∈ D with both dy and dx divisible by S, and N(d) the shifts off the grid with the radius |d|∞.
    The mean is over the d ∈ G of an image whose N(d) is not empty; values are from −1 to 1.

    Effects that depend on |d|∞ alone cancel, and so do border effects to a first approximation: the value is 0 if the
    consistency is a function of |d|∞, and 1 if the class is unchanged at the shifts on the grid and changed at all
    others. If D holds whole squares |d|∞ = r, the smaller of |dy| and |dx| has the mean r / 2 both on and off the grid,
    so that effects linear in it cancel too. A value of 0 does not mean that the network is consistent: the consistency
    on the grid may be as low as off it. Negative values are due to chance or to border effects that are larger along
    axes and diagonals.

    Only shifts by whole pixels count. With `random:K`, an image counts if it has a shift on the grid and one off the
    grid at the same radius.

    Unavailable if S is unknown or 1, or if no image counts, for example because no shift is as long as S.
    """
    stride = observations.stride
    if stride is None:
        return Unavailable("needs a convolutional model whose total stride is known")
    if stride == 1:
        return Unavailable("the total stride is 1: every shift is on its grid")
    phase, integer = shift_phases(observations, stride)
    radii, radius_groups = group_by_radius(observations)
    number, images = len(radii), len(observations.labels)
    # Two groups per radius, off the grid and on it, and one for the shifts that are left out.
    groups = np.where(integer, 2 * radius_groups + (phase == 0).all(axis=-1), 2 * number)
    stays = observations.prediction == observations.reference_prediction[:, None]
    fractions = average_by_group(stays, groups, 2 * number + 1)
    on, off = fractions[:, 1:-1:2], fractions[:, 0:-1:2]
    if np.isnan(on).all():
        return Unavailable(f"no shift is by multiples of the total stride of {stride} px")
    matched = ~np.isnan(on) & ~np.isnan(off)
    if not matched.any():
        return Unavailable(f"no shift off the grid of the total stride of {stride} px has the radius of a shift on it")
    weight = np.where(matched, count_by_group(groups, images, 2 * number + 1)[:, 1:-1:2], 0)
    gap = np.where(matched, on - off, 0.0)
    total = weight.sum(axis=1)
    return np.where(total > 0, (weight * gap).sum(axis=1) / np.where(total > 0, total, 1), np.nan)


PHASE_SPECTRUM = Metric(
    MetricSpec(
        id="phase_spectrum",
        title="phase gap",
        formula="mean over d ∈ G of (a(d) − mean over e ∈ N(d) of a(e)), a(d) = [ŷ(T_d x) = ŷ(x)], "
        "G = {d ∈ D : S | d}, N(d) = {e ∈ D ∖ G : |e|∞ = |d|∞}",
        higher_is_better=False,
        bounds=(-1.0, 1.0),
        partial=True,
    ),
    evaluate_phase_spectrum,
)
