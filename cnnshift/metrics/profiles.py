"""Accuracy, consistency and sensitivity at every shift, at every radius |d|∞, and at every phase d mod S."""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Bool, Float
from cnnshift.metrics.shift_groups import (
    average_by_group,
    count_by_group,
    find_failing_radius,
    group_by_radius,
    mean_intervals,
    shift_phases,
)
from cnnshift.observations import Observations
from cnnshift.results.schema import PhaseTable, RadiusTable, ShiftTable
from cnnshift.unavailable import Unavailable


def profile_by_shift(
    observations: Observations, divisor: float | Unavailable, information_loss: Float[np.ndarray, " s"]
) -> ShiftTable:
    """Return means over all images at every shift, in the order of the shift set.

    Accuracy is the mean of [ŷ(T_d x) = y], consistency of [ŷ(T_d x) = ŷ(x)], and sensitivity of ‖f(T_d x) − f(x)‖₂
    divided by `divisor`. The set `random:K` has no table, because every image has its own shifts.

    Args:
        observations: observations of one sweep.
        divisor: `cnnshift.metrics.sensitivity.interclass_distance`.
        information_loss: recorded as is; not used for `random:K`.
    """
    if observations.per_image_shifts:
        return ShiftTable(reason="needs the same shifts for every image")
    correct, stays = _correct_and_stays(observations)
    return ShiftTable(
        dy=observations.shifts[:, 0].tolist(),
        dx=observations.shifts[:, 1].tolist(),
        accuracy=correct.mean(axis=0).tolist(),
        consistency=stays.mean(axis=0).tolist(),
        information_loss=information_loss.tolist(),
        sensitivity=_divide(observations.distance.mean(axis=0, dtype=np.float64), divisor),
        sensitivity_reason=divisor.reason if isinstance(divisor, Unavailable) else "",
    )


def profile_by_radius(observations: Observations, divisor: float | Unavailable) -> RadiusTable:
    """Return means over images at every radius r of the shift set, ascending, without radius 0.

    Accuracy, consistency and sensitivity (see `profile_by_shift`) are of the shifts with |d|∞ = r: the mean over the
    shifts of each image, then over the images that have such a shift, which are all of them except for `random:K`.

    Worst-case accuracy is the fraction of images classified correctly at 0 and at every shift with |d|∞ ≤ r, survival
    that of images with the class of the unshifted image at all these shifts. Neither increases with r. For `random:K`
    they are of the drawn shifts, and upper bounds of the values over all shifts.
    """
    radii, groups = group_by_radius(observations)
    number, images = len(radii), len(observations.labels)
    correct, stays = _correct_and_stays(observations)
    accuracy, consistency, distance = (
        average_by_group(values, groups, number) for values in (correct, stays, observations.distance)
    )
    unshifted = observations.reference_prediction == observations.labels
    wrong_from = np.where(unshifted, find_failing_radius(correct, groups, number), 0)
    survives = find_failing_radius(stays, groups, number)[:, None] > np.arange(number)
    return RadiusTable(
        radius=radii.tolist(),
        pairs=count_by_group(groups, images, number).sum(axis=0).tolist(),
        images=(~np.isnan(consistency)).sum(axis=0).tolist(),
        accuracy=np.nanmean(accuracy, axis=0).tolist(),
        consistency=np.nanmean(consistency, axis=0).tolist(),
        consistency_ci95=mean_intervals(consistency),
        worst_case_accuracy=(wrong_from[:, None] > np.arange(number)).mean(axis=0).tolist(),
        survival=survives.mean(axis=0).tolist(),
        survival_ci95=mean_intervals(survives.astype(np.float64)),
        sensitivity=_divide(np.nanmean(distance, axis=0), divisor),
        sensitivity_reason=divisor.reason if isinstance(divisor, Unavailable) else "",
    )


def profile_by_phase(observations: Observations, stride: int | Unavailable) -> PhaseTable:
    """Return the consistency at every phase (py, px) = d mod S that has a shift, sorted.

    It is the mean over the shifts of each image, then over the images that have a shift of this phase. Shifts by
    fractions of a pixel lie between two grids and are left out. Negative shifts are reduced modulo S, also if the image
    wraps around at a size that S does not divide.

    Args:
        observations: observations of one sweep.
        stride: S in pixels, at least 1, or the reason why it is unknown.
    """
    if isinstance(stride, Unavailable):
        return PhaseTable(reason=stride.reason)
    phase, integer = shift_phases(observations, stride)
    cells = phase[..., 0] * stride + phase[..., 1]
    found = np.unique(cells[integer])
    if not found.size:
        return PhaseTable(stride=stride, reason="needs shifts by whole pixels")
    number = len(found)
    # One more group for the shifts that are left out.
    groups = np.where(integer, np.searchsorted(found, cells), number)
    _, stays = _correct_and_stays(observations)
    consistency = average_by_group(stays, groups, number + 1)[:, :number]
    return PhaseTable(
        stride=stride,
        py=(found // stride).tolist(),
        px=(found % stride).tolist(),
        pairs=count_by_group(groups, len(stays), number + 1)[:, :number].sum(axis=0).tolist(),
        images=(~np.isnan(consistency)).sum(axis=0).tolist(),
        consistency=np.nanmean(consistency, axis=0).tolist(),
        consistency_ci95=mean_intervals(consistency),
    )


def _correct_and_stays(observations: Observations) -> tuple[Bool[np.ndarray, "n s"], Bool[np.ndarray, "n s"]]:
    prediction = observations.prediction
    return prediction == observations.labels[:, None], prediction == observations.reference_prediction[:, None]


def _divide(distance: Float[np.ndarray, " r"], divisor: float | Unavailable) -> list[float] | None:
    return None if isinstance(divisor, Unavailable) else (distance / divisor).tolist()
