"""The tables of a result: how a model does at every shift, and at every radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from cnnshift.metrics.base import Unavailable
from cnnshift.metrics.rings import Rings, find_rings, first_failure
from cnnshift.observations import Observations
from cnnshift.stats.intervals import mean_interval


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

    Accuracy and consistency are of the shifts with |d|∞ = r: per image the mean over its shifts,
    then the mean over the images that have any. The last two are of all shifts with |d|∞ ≤ r,
    and over all images, so that they never increase with r. For `random:K` they are of the shifts
    that were drawn, and upper bounds of what all shifts would give.

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


def by_shift(observations: Observations) -> ShiftProfile | Unavailable:
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


def by_radius(observations: Observations) -> RadiusProfile:
    """Accuracy, consistency with its interval, worst case and survival at every radius."""
    radii, ring = find_rings(observations)
    correct, stays = _correct_and_stays(observations)
    pairs = _count_per_ring(np.ones_like(stays), ring, len(radii))
    counted = pairs > 0
    accuracy = _count_per_ring(correct, ring, len(radii)) / np.where(counted, pairs, 1)
    consistency = _count_per_ring(stays, ring, len(radii)) / np.where(counted, pairs, 1)
    images = counted.sum(axis=0)
    intervals = [
        mean_interval(values[has], bounds=(0.0, 1.0)) for values, has in zip(consistency.T, counted.T, strict=True)
    ]
    unshifted = observations.reference_prediction == observations.labels
    wrong_from = np.where(unshifted, first_failure(correct, ring, len(radii)), 0)
    return RadiusProfile(
        radius=radii,
        pairs=pairs.sum(axis=0),
        images=images,
        # An image that has no shift at r entered as 0 of 1: it adds nothing to the sum.
        accuracy=accuracy.sum(axis=0) / images,
        consistency=consistency.sum(axis=0) / images,
        consistency_low=np.array([interval.low for interval in intervals]),
        consistency_high=np.array([interval.high for interval in intervals]),
        worst_case_accuracy=_survive(wrong_from, len(radii)),
        survival=_survive(first_failure(stays, ring, len(radii)), len(radii)),
    )


def _correct_and_stays(
    observations: Observations,
) -> tuple[Bool[np.ndarray, "n s"], Bool[np.ndarray, "n s"]]:
    prediction = observations.prediction
    correct = prediction == observations.labels[:, None]
    return correct, prediction == observations.reference_prediction[:, None]


def _count_per_ring(flags: Bool[np.ndarray, "n s"], ring: Rings, number: int) -> Int[np.ndarray, "n {number}"]:
    images = len(flags)
    cells = ring + number * np.arange(images)[:, None]
    return np.bincount(cells[flags], minlength=images * number).reshape(images, number)


def _survive(fails_from: Int[np.ndarray, " n"], number: int) -> Float[np.ndarray, " {number}"]:
    failures = np.bincount(fails_from, minlength=number + 1)[:number]
    return (len(fails_from) - failures.cumsum()) / len(fails_from)
