"""Accuracy, consistency and logit distance at every shift and at every radius |d|∞."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnshift.array_types import Bool, Float, Int, Real
from cnnshift.metrics.radii import find_failing_radius, group_by_radius
from cnnshift.metrics.shift_groups import average_by_group, count_by_group, mean_intervals
from cnnshift.observations import Observations
from cnnshift.unavailable import Unavailable


@dataclass(frozen=True, slots=True)
class ShiftProfile:
    """Means over all images, one row per shift in the order of the shift set.

    Attributes:
        dy: pixels down.
        dx: pixels to the right.
        accuracy: fraction of images with ŷ(T_d x) = y.
        consistency: fraction of images with ŷ(T_d x) = ŷ(x).
        distance: mean of ‖f(T_d x) − f(x)‖₂, in logits.
    """

    dy: Real[np.ndarray, " s"]
    dx: Real[np.ndarray, " s"]
    accuracy: Float[np.ndarray, " s"]
    consistency: Float[np.ndarray, " s"]
    distance: Float[np.ndarray, " s"]


@dataclass(frozen=True, slots=True)
class RadiusProfile:
    """Means over images, one row per radius r of the shift set, ascending, without radius 0.

    Accuracy, consistency and distance are of the shifts with |d|∞ = r: the mean over the shifts of each image, then
    over the images that have such a shift. Worst-case accuracy and survival are of all shifts with |d|∞ ≤ r and of all
    images, so they do not increase with r. For `random:K` they are of the drawn shifts, and upper bounds of the values
    over all shifts.

    Attributes:
        radius: r in pixels.
        pairs: number of pairs (image, shift) with |d|∞ = r.
        images: number of images with such a shift: all of them, except for `random:K`.
        accuracy: mean of [ŷ(T_d x) = y].
        consistency: mean of [ŷ(T_d x) = ŷ(x)].
        consistency_low: lower limit of its 95 % interval over images.
        consistency_high: upper limit.
        worst_case_accuracy: fraction of images classified correctly at 0 and at every shift up to r.
        survival: fraction of images that have the class of the unshifted image at every shift up to r.
        survival_low: lower limit of its 95 % interval over images.
        survival_high: upper limit.
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
    """Return accuracy, consistency and logit distance at every shift.

    Unavailable for `random:K`, where every image has its own shifts.
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
    """Return accuracy, consistency, worst-case accuracy, survival and logit distance at every radius."""
    radii, groups = group_by_radius(observations)
    number, images = len(radii), len(observations.labels)
    correct, stays = _correct_and_stays(observations)
    accuracy, consistency = (average_by_group(flags, groups, number) for flags in (correct, stays))
    limits = mean_intervals(consistency)
    unshifted = observations.reference_prediction == observations.labels
    wrong_from = np.where(unshifted, find_failing_radius(correct, groups, number), 0)
    survives = find_failing_radius(stays, groups, number)[:, None] > np.arange(number)
    survival_limits = mean_intervals(survives.astype(np.float64))
    return RadiusProfile(
        radius=radii,
        pairs=count_by_group(groups, images, number).sum(axis=0),
        images=(~np.isnan(consistency)).sum(axis=0),
        accuracy=np.nanmean(accuracy, axis=0),
        consistency=np.nanmean(consistency, axis=0),
        consistency_low=limits[:, 0],
        consistency_high=limits[:, 1],
        worst_case_accuracy=(wrong_from[:, None] > np.arange(number)).mean(axis=0),
        survival=survives.mean(axis=0),
        survival_low=survival_limits[:, 0],
        survival_high=survival_limits[:, 1],
        distance=np.nanmean(average_by_group(observations.distance, groups, number), axis=0),
    )


def _correct_and_stays(observations: Observations) -> tuple[Bool[np.ndarray, "n s"], Bool[np.ndarray, "n s"]]:
    prediction = observations.prediction
    return prediction == observations.labels[:, None], prediction == observations.reference_prediction[:, None]
