"""Aliasing or border? Consistency by the phase of a shift: where it lies on the grid of the total stride.

A network whose strides multiply to S sees an image moved by S pixels on the same sampling grid, and one moved by less
on another: aliasing is periodic in d with period S, while the effects of the border grow with |d|.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cnnshift.metrics.base import Metric, MetricSpec, Values
from cnnshift.metrics.radii import group_by_radius
from cnnshift.metrics.shift_groups import average_by_group, count_by_group, mean_intervals
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


@dataclass(frozen=True, slots=True)
class PhaseProfile:
    """One row per phase (py, px) = d mod S that has a shift, row by row.

    Consistency is per image the mean over its shifts of that phase, then the mean over the images that have any.

    Attributes:
        py: dy mod S, in pixels.
        px: dx mod S.
        pairs: number of (image, shift) pairs of that phase: of shifts, times the images.
        images: number of images that have such a shift; all of them, but for `random:K`.
        consistency: mean of [ŷ(T_d x) = ŷ(x)].
        consistency_low: lower end of its 95 % interval over images.
        consistency_high: upper end.
    """

    py: Int[np.ndarray, " p"]
    px: Int[np.ndarray, " p"]
    pairs: Int[np.ndarray, " p"]
    images: Int[np.ndarray, " p"]
    consistency: Float[np.ndarray, " p"]
    consistency_low: Float[np.ndarray, " p"]
    consistency_high: Float[np.ndarray, " p"]


def profile_by_phase(observations: Observations, stride: int) -> PhaseProfile | Unavailable:
    """Consistency at every phase of a stride.

    Only shifts by whole pixels have a phase: one by a fraction is between two grids, and interpolates besides.
    Negative shifts count as what they are modulo S, also where the image wraps around at a size that S does not divide.

    Args:
        observations: what the sweep saw.
        stride: S in pixels, from 1.

    Returns:
        The profile; unavailable where no shift is by whole pixels.
    """
    phase, whole = _phases(observations, stride)
    cells = phase[..., 0] * stride + phase[..., 1]
    found = np.unique(cells[whole])
    if not found.size:
        return Unavailable("needs shifts by whole pixels")
    number, images = len(found), len(observations.labels)
    # What is left out is one more group.
    group = np.where(whole, np.searchsorted(found, cells), number)
    shares = average_by_group(_stays(observations), group, number + 1)[:, :number]
    limits = mean_intervals(shares)
    return PhaseProfile(
        py=found // stride,
        px=found % stride,
        pairs=count_by_group(group, images, number + 1)[:, :number].sum(axis=0),
        images=(~np.isnan(shares)).sum(axis=0),
        consistency=np.nanmean(shares, axis=0),
        consistency_low=limits[:, 0],
        consistency_high=limits[:, 1],
    )


def evaluate_phase_spectrum(observations: Observations) -> Values | Unavailable:
    """Consistency on the grid of the total stride minus that off it, at equal distance; per image, from −1 to 1.

    With a(d) = [ŷ(T_d x) = ŷ(x)], the shifts G = {d ∈ D : S divides dy and dx} on the grid and, for each, those
    N(d) = {e ∈ D : e ∉ G, |e|∞ = |d|∞} off it that are as far,

        mean over d ∈ G with N(d) ≠ ∅ of (a(d) − mean over e ∈ N(d) of a(e)).

    What depends on |d|∞ alone, as effects of the border do to a first approximation, cancels: it is 0 for an
    inconsistency that is a function of |d|∞ and 1 for a network that keeps its class on the grid and nowhere else. On
    whole squares |d|∞ = r the smaller of |dy| and |dx| has the same mean, r / 2, on the grid and off it, so that what
    is linear in it cancels too. 0 does not say that the network is consistent: it may lose as much on the grid, and one
    that has lost nearly everything at |d|∞ = S, for whatever reason, has no gap left to show. Values below 0 are
    chance, or borders that are worse along the axes and diagonals.

    Only shifts by whole pixels count. For `random:K` an image counts if it has a shift on the grid and one off it at
    the same distance. Unavailable where S is unknown, or 1 (nothing is left out that could alias), or where no image
    counts, as for shifts that do not reach S, or only shifts on the grid.

    The consistency at every phase is in `by_phase`.
    """
    stride = observations.stride
    if stride is None:
        return Unavailable("needs a convolutional model whose total stride is known")
    if stride == 1:
        return Unavailable("the total stride is 1: every shift is on its grid")
    phase, whole = _phases(observations, stride)
    radii, ring = group_by_radius(observations)
    number, images = len(radii), len(observations.labels)
    # Two groups for every radius, off the grid and on it, and one for what is left out.
    group = np.where(whole, 2 * ring + (phase == 0).all(axis=-1), 2 * number)
    shares = average_by_group(_stays(observations), group, 2 * number + 1)
    on, off = shares[:, 1:-1:2], shares[:, 0:-1:2]
    if np.isnan(on).all():
        return Unavailable(f"no shift is by multiples of the total stride of {stride} px")
    matched = ~np.isnan(on) & ~np.isnan(off)
    if not matched.any():
        return Unavailable(f"no shift by multiples of the total stride of {stride} px has another one of its radius")
    weight = np.where(matched, count_by_group(group, images, 2 * number + 1)[:, 1:-1:2], 0)
    gap = np.where(matched, on - off, 0.0)
    total = weight.sum(axis=1)
    return np.where(total > 0, (weight * gap).sum(axis=1) / np.where(total > 0, total, 1), np.nan)


def _phases(observations: Observations, stride: int) -> tuple[Int[np.ndarray, "*s 2"], Bool[np.ndarray, "*s"]]:
    """The phase d mod S of every shift, rounded to whole pixels, and whether it needed no rounding."""
    nearest = np.rint(observations.shifts).astype(np.int64)
    return nearest % stride, (observations.shifts == nearest).all(axis=-1)


def _stays(observations: Observations) -> Bool[np.ndarray, "n s"]:
    return observations.prediction == observations.reference_prediction[:, None]


PHASE_SPECTRUM = Metric(
    MetricSpec(
        id="phase_spectrum",
        title="phase gap",
        unit="fraction",
        higher_is_better=False,
        default_margin=0.01,
        version=1,
        reference="",
        bounds=(-1.0, 1.0),
        partial=True,
    ),
    evaluate_phase_spectrum,
)
