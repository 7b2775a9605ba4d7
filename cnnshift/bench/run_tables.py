"""The metrics and tables of a run, computed from observations."""

from __future__ import annotations

import numpy as np

from cnnshift.bench.plan import ShiftPlan
from cnnshift.data.split import Split, to_unit_range
from cnnshift.metrics.base import Metric
from cnnshift.metrics.phase_spectrum import profile_by_phase
from cnnshift.metrics.profiles import profile_by_radius, profile_by_shift
from cnnshift.observations import Observations
from cnnshift.results.packing import pack
from cnnshift.results.schema import MetricResult, PhaseTable, RadiusTable, ShiftTable
from cnnshift.unavailable import Unavailable


def metric_result(metric: Metric, observations: Observations) -> MetricResult:
    """Compute a metric."""
    summary, spec = metric.summarize(observations), metric.spec
    return MetricResult(
        id=spec.id,
        version=spec.version,
        title=spec.title,
        value=summary.value,
        ci95=summary.ci95,
        unit=spec.unit,
        # JSON has no infinity.
        bounds=summary.bounds if summary.bounds is not None and np.isfinite(summary.bounds).all() else None,
        higher_is_better=spec.higher_is_better,
        n=summary.n,
        method=summary.method,
        reason=summary.reason,
        per_image=None if summary.per_image is None else pack(summary.per_image),
    )


def shift_table(
    observations: Observations, test: Split, shift_plan: ShiftPlan, normalizer: float | Unavailable
) -> ShiftTable:
    """Compute the values by shift, means over the images."""
    profile = profile_by_shift(observations)
    if isinstance(profile, Unavailable):
        return ShiftTable(reason=profile.reason)
    loss = shift_plan.protocol.energy_loss(to_unit_range(test.windows), shift_plan.shift_set.shifts).mean(axis=0)
    return ShiftTable(
        dy=profile.dy.tolist(),
        dx=profile.dx.tolist(),
        accuracy=profile.accuracy.tolist(),
        consistency=profile.consistency.tolist(),
        information_loss=loss.tolist(),
        sensitivity=_sensitivity(profile.distance, normalizer),
        sensitivity_reason=_reason(normalizer),
    )


def radius_table(observations: Observations, normalizer: float | Unavailable) -> RadiusTable:
    """Compute the values by radius |d|∞."""
    profile = profile_by_radius(observations)
    return RadiusTable(
        radius=profile.radius.tolist(),
        pairs=profile.pairs.tolist(),
        images=profile.images.tolist(),
        accuracy=profile.accuracy.tolist(),
        consistency=profile.consistency.tolist(),
        consistency_ci95=_intervals(profile.consistency_low, profile.consistency_high),
        worst_case_accuracy=profile.worst_case_accuracy.tolist(),
        survival=profile.survival.tolist(),
        survival_ci95=_intervals(profile.survival_low, profile.survival_high),
        sensitivity=_sensitivity(profile.distance, normalizer),
        sensitivity_reason=_reason(normalizer),
    )


def phase_table(observations: Observations, stride: int | Unavailable) -> PhaseTable:
    """Compute the values by phase d mod S, for a total stride S or the reason why it is unknown."""
    if isinstance(stride, Unavailable):
        return PhaseTable(reason=stride.reason)
    profile = profile_by_phase(observations, stride)
    if isinstance(profile, Unavailable):
        return PhaseTable(stride=stride, reason=profile.reason)
    return PhaseTable(
        stride=stride,
        py=profile.py.tolist(),
        px=profile.px.tolist(),
        pairs=profile.pairs.tolist(),
        images=profile.images.tolist(),
        consistency=profile.consistency.tolist(),
        consistency_ci95=_intervals(profile.consistency_low, profile.consistency_high),
    )


def _sensitivity(distance: np.ndarray, normalizer: float | Unavailable) -> list[float] | None:
    return None if isinstance(normalizer, Unavailable) else (distance / normalizer).tolist()


def _reason(found: float | Unavailable) -> str:
    return found.reason if isinstance(found, Unavailable) else ""


def _intervals(low: np.ndarray, high: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(low.tolist(), high.tolist(), strict=True))
