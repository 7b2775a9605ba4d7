"""Measure one model under one protocol and record it as a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnshift.bench.images import Images, test_images
from cnnshift.bench.models import adapt_model, crop_to_model, load_pretrained, wrap_model
from cnnshift.bench.plan import ShiftPlan, plan_shifts
from cnnshift.catalog import METRICS
from cnnshift.config import MeasureConfig
from cnnshift.data.split import Split, to_unit_range
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.host_callback import reraise_host_errors
from cnnshift.metrics.base import Metric
from cnnshift.metrics.profiles import profile_by_phase, profile_by_radius, profile_by_shift
from cnnshift.metrics.sensitivity import interclass_distance
from cnnshift.observations import Observations
from cnnshift.results.packing import pack
from cnnshift.results.schema import DatasetRecord, EngineRecord, MetricResult, Run, Timing, TrainingRecord
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model

MAX_PREDICTIONS = 2**24
"""Largest number of predictions that a result keeps; `compare --exact` needs them."""


def measure_model(model: str | Callable[[Any], Any], data: Images, config: MeasureConfig, *, name: str) -> Run:
    """Measure a model that needs no training under the first protocol of the settings; see `cnnshift.measure`."""
    test, dataset = test_images(data, config.limit)
    if isinstance(model, str):
        loaded = load_pretrained(model)
        test, dataset = crop_to_model(loaded, test, dataset)
        loaded = adapt_model(loaded, test)
    else:
        loaded = adapt_model(wrap_model(model, name), test, more_classes=True)
    shift_plan = plan_shifts(config.protocols[0], test, dataset, config)
    return measure_cell(loaded, test, dataset, shift_plan, config)[0]


def measure_cell(
    model: LoadedModel,
    test: Split,
    dataset: DatasetRecord,
    shift_plan: ShiftPlan,
    config: MeasureConfig,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Run, Observations]:
    """Measure a model under one protocol.

    Args:
        model: the model, adapted to the images.
        test: test images.
        dataset: their entry in the result file.
        shift_plan: protocol and shifts.
        config: metrics, batch size, engine and determinism.
        progress: called with the number of image-shifts that were just finished.

    Returns:
        The run, and the observations that it was computed from.

    Raises:
        InputError: a model that runs on the host fails; and see `run_sweep`.
        MeasurementError: see `run_sweep`.
    """
    pure, provenance = as_pure_model(model), model.provenance
    with reraise_host_errors():
        sweep = run_sweep(
            pure,
            test,
            shift_plan.protocol,
            shift_plan.shift_set,
            batch_size=config.batch_size,
            width=1 if config.deterministic else None,
            engine=config.engine,
            progress=progress,
        )
    observations = sweep.observations
    divisor = interclass_distance(observations.reference_logits, observations.labels)
    loss = np.empty(0)
    if not observations.per_image_shifts:
        loss = shift_plan.protocol.energy_loss(to_unit_range(test.windows), shift_plan.shift_set.shifts).mean(axis=0)
    classes = observations.all_predictions
    run = Run(
        model=provenance.name,
        family=provenance.family,
        family_version=provenance.family_version,
        options=dict(provenance.options),
        params=pure.parameters,
        flops=sweep.flops,
        weights_digest=pure.digest,
        seed=provenance.seed,
        training=TrainingRecord(recipe=dict(provenance.recipe), cached=provenance.cached, final_loss=provenance.loss),
        dataset=dataset,
        protocol=shift_plan.record,
        contract=shift_plan.contract,
        metrics=[_metric_result(METRICS.load(id), observations) for id in config.metric_ids],
        predictions=pack(classes) if classes.size <= MAX_PREDICTIONS else None,
        by_shift=profile_by_shift(observations, divisor, loss),
        by_radius=profile_by_radius(observations, divisor),
        by_phase=profile_by_phase(observations, pure.total_stride(test)),
        engine=EngineRecord(name=sweep.engine, forward_passes=sweep.forward_passes),
        timing=Timing(
            compile_seconds=sweep.compile_seconds,
            train_seconds=provenance.seconds,
            sweep_seconds=sweep.sweep_seconds,
            images_per_second=observations.prediction.size / sweep.sweep_seconds,
        ),
    )
    return run, observations


def _metric_result(metric: Metric, observations: Observations) -> MetricResult:
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
