"""One cell: sweep a subject, compute its metrics, and write both down as a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cnnshift.bench.networks import Identity
from cnnshift.bench.plan import ShiftPlan
from cnnshift.catalog import METRICS
from cnnshift.data.split import Split, to_unit_range
from cnnshift.loaders.host_callback import reraise_host_errors
from cnnshift.metrics.base import Metric
from cnnshift.metrics.phase_spectrum import profile_by_phase
from cnnshift.metrics.profiles import profile_by_radius, profile_by_shift
from cnnshift.metrics.sensitivity import interclass_normalizer
from cnnshift.observations import Observations
from cnnshift.results.packing import pack
from cnnshift.results.schema import (
    DatasetRecord,
    EngineRecord,
    MetricResult,
    PhaseTable,
    RadiusTable,
    Run,
    ShiftTable,
    Timing,
)
from cnnshift.sweep.engine import Engine, run_sweep
from cnnshift.sweep.pure_model import PureModel
from cnnshift.unavailable import Unavailable

MAX_PREDICTIONS = 2**24
"""Most predictions of a run that its result keeps: with more, `compare --exact` is not possible."""


def measure_cell(
    subject: PureModel,
    identity: Identity,
    *,
    test: Split,
    dataset: DatasetRecord,
    shift_plan: ShiftPlan,
    metrics: Sequence[str],
    batch_size: int | None = None,
    width: int | None = None,
    engine: Engine = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Run, Observations]:
    """Sweep one model under one protocol.

    Args:
        subject: the model.
        identity: what the run says about it.
        test: the images.
        dataset: their record.
        shift_plan: protocol and shifts.
        metrics: ids to compute.
        batch_size: see `run_sweep`.
        width: see `run_sweep`.
        engine: see `run_sweep`.
        progress: see `run_sweep`.

    Returns:
        The run, and the observations that it was computed from.

    Raises:
        InputError: a model that runs outside of the compiled program fails; and see `run_sweep`.
    """
    with reraise_host_errors():
        sweep = run_sweep(
            subject,
            test,
            shift_plan.protocol,
            shift_plan.shift_set,
            batch_size=batch_size,
            width=width,
            engine=engine,
            progress=progress,
        )
    seen = sweep.observations
    normaliser = interclass_normalizer(seen)
    run = Run(
        model=identity.model,
        family=identity.family,
        family_version=identity.family_version,
        options=identity.options,
        params=subject.parameters,
        flops=sweep.flops,
        weights_digest=subject.digest,
        seed=identity.seed,
        training=identity.training,
        dataset=dataset,
        protocol=shift_plan.record,
        contract=shift_plan.contract,
        metrics=[evaluate(METRICS.load(id), seen) for id in metrics],
        predictions=pack(seen.all_predictions) if seen.all_predictions.size <= MAX_PREDICTIONS else None,
        by_shift=_shift_table(seen, test, shift_plan, normaliser),
        by_radius=_radius_table(seen, normaliser),
        by_phase=_phase_table(seen, subject.total_stride(test)),
        engine=EngineRecord(name=sweep.engine, forward_passes=sweep.forwards),
        timing=Timing(
            compile_seconds=sweep.compile_seconds,
            train_seconds=identity.train_seconds,
            sweep_seconds=sweep.sweep_seconds,
            images_per_second=seen.prediction.size / sweep.sweep_seconds,
        ),
    )
    return run, seen


def evaluate(metric: Metric, observations: Observations) -> MetricResult:
    """A metric's entry in a result file."""
    summary, spec = metric.summarize(observations), metric.spec
    return MetricResult(
        id=spec.id,
        version=spec.version,
        title=spec.title,
        value=summary.value,
        ci95=summary.ci95,
        unit=spec.unit,
        bounds=_finite(summary.bounds),
        higher_is_better=spec.higher_is_better,
        n=summary.n,
        method=summary.method,
        reason=summary.reason,
        per_image=None if summary.per_image is None else pack(summary.per_image),
    )


def _finite(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Bounds as a file can hold them: both finite, or none."""
    return bounds if bounds is not None and np.isfinite(bounds).all() else None


def _shift_table(
    observations: Observations, test: Split, shift_plan: ShiftPlan, normaliser: float | Unavailable
) -> ShiftTable:
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
        sensitivity=_sensitivity(profile.distance, normaliser),
        sensitivity_reason=_reason(normaliser),
    )


def _radius_table(observations: Observations, normaliser: float | Unavailable) -> RadiusTable:
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
        sensitivity=_sensitivity(profile.distance, normaliser),
        sensitivity_reason=_reason(normaliser),
    )


def _phase_table(observations: Observations, stride: int | str) -> PhaseTable:
    if isinstance(stride, str):
        return PhaseTable(reason=stride)
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


def _sensitivity(distance: np.ndarray, normaliser: float | Unavailable) -> list[float] | None:
    return None if isinstance(normaliser, Unavailable) else (distance / normaliser).tolist()


def _reason(found: float | Unavailable) -> str:
    return found.reason if isinstance(found, Unavailable) else ""


def _intervals(low: np.ndarray, high: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(low.tolist(), high.tolist(), strict=True))
