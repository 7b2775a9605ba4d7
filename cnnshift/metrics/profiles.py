"""The tables of a result: how a model does at every shift, and at every radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from cnnshift.metrics.radii import find_failing_radius, group_by_radius
from cnnshift.metrics.shift_groups import average_by_group, count_by_group, mean_intervals
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


@dataclass(frozen=True, slots=True)
class ShiftProfile:
    """One row per shift, in the order of the shift set; means over all images.

    Attributes:
        dy: pixels down.
        dx: pixels to the right.
        accuracy: share of images with ŷ(T_d x) = y.
        consistency: share of images with ŷ(T_d x) = ŷ(x).
        distance: mean of ‖f(T_d x) − f(x)‖₂, in logits.
    """

    dy: Real[np.ndarray, " s"]
    dx: Real[np.ndarray, " s"]
    accuracy: Float[np.ndarray, " s"]
    consistency: Float[np.ndarray, " s"]
    distance: Float[np.ndarray, " s"]


@dataclass(frozen=True, slots=True)
class RadiusProfile:
    """One row per radius r of the shift set, ascending; the unshifted image is no row.

    Accuracy, consistency and distance are of the shifts with |d|∞ = r: per image the mean over its
    shifts, then the mean over the images that have any. Worst case and survival are of all shifts
    with |d|∞ ≤ r, and over all images, so that they never increase with r. For `random:K` they are
    of the shifts that were drawn, and upper bounds of what all shifts would give.

    Attributes:
        radius: r in pixels.
        pairs: number of (image, shift) pairs with |d|∞ = r.
        images: number of images that have such a shift; all of them, but for `random:K`.
        accuracy: mean of [ŷ(T_d x) = y].
        consistency: mean of [ŷ(T_d x) = ŷ(x)].
        consistency_low: lower end of its 95 % interval over images.
        consistency_high: upper end.
        worst_case_accuracy: share of images that are correct at 0 and at every shift up to r.
        survival: share of images that keep the class of the unshifted image at every shift up to r.
        survival_low: lower end of its 95 % interval over images.
        survival_high: upper end.
        distance: mean of ‖f(T_d x) − f(x)‖₂, in logits.
    """

    radius: Real[np.ndarray, " r"]
    pairs: Int[np.ndarray, " r"]
    images: Int[np.ndarray, " r"]
    accuracy: Float[np.ndarray, " r"]
    consistency: Float[np.ndarray, " r"]
    consistency_low: Float[np.ndarray, " r"]
    consistency_high: Float[np.ndarray, " r"]
    worst_case_accuracy: Float[np.ndarray, " r"]
    survival: Float[np.ndarray, " r"]
    survival_low: Float[np.ndarray, " r"]
    survival_high: Float[np.ndarray, " r"]
    distance: Float[np.ndarray, " r"]


def profile_by_shift(observations: Observations) -> ShiftProfile | Unavailable:
    """Accuracy, consistency and logit distance at every shift.

    Unavailable for `random:K`, where no two images need share a shift.
    """
    if observations.per_image_shifts:
        return Unavailable("needs the same shifts for every image")
    correct, stays = _correct_and_stays(observations)
    return ShiftProfile(
        dy=observations.shifts[:, 0],
        dx=observations.shifts[:, 1],
        accuracy=correct.mean(axis=0),
        consistency=stays.mean(axis=0),
        distance=observations.distance.mean(axis=0, dtype=np.float64),
    )


def profile_by_radius(observations: Observations) -> RadiusProfile:
    """Accuracy, consistency with its interval, worst case and survival at every radius."""
    radii, ring = group_by_radius(observations)
    number, images = len(radii), len(observations.labels)
    correct, stays = _correct_and_stays(observations)
    accuracy, consistency = (average_by_group(flags, ring, number) for flags in (correct, stays))
    limits = mean_intervals(consistency)
    unshifted = observations.reference_prediction == observations.labels
    wrong_from = np.where(unshifted, find_failing_radius(correct, ring, number), 0)
    survives = find_failing_radius(stays, ring, number)[:, None] > np.arange(number)
    survival_limits = mean_intervals(survives.astype(np.float64))
    return RadiusProfile(
        radius=radii,
        pairs=count_by_group(ring, images, number).sum(axis=0),
        images=(~np.isnan(consistency)).sum(axis=0),
        accuracy=np.nanmean(accuracy, axis=0),
        consistency=np.nanmean(consistency, axis=0),
        consistency_low=limits[:, 0],
        consistency_high=limits[:, 1],
        worst_case_accuracy=(wrong_from[:, None] > np.arange(number)).mean(axis=0),
        survival=survives.mean(axis=0),
        survival_low=survival_limits[:, 0],
        survival_high=survival_limits[:, 1],
        distance=np.nanmean(average_by_group(observations.distance, ring, number), axis=0),
    )


def _correct_and_stays(
    observations: Observations,
) -> tuple[Bool[np.ndarray, "n s"], Bool[np.ndarray, "n s"]]:
    prediction = observations.prediction
    correct = prediction == observations.labels[:, None]
    return correct, prediction == observations.reference_prediction[:, None]
