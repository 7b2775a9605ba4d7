"""Group the runs of a result by contract and model, and average metrics over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnshift.array_types import Float
from cnnshift.results.packing import unpack
from cnnshift.results.schema import MetricResult, Result, Run
from cnnshift.stats.influence import influence_values, mean_influence_bounds
from cnnshift.stats.intervals import mean_interval


@dataclass(frozen=True, slots=True)
class ModelRuns:
    """The runs of one model under one contract, one per seed."""

    model: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class ContractGroup:
    """All models that were measured under one contract."""

    models: tuple[ModelRuns, ...]

    @property
    def example(self) -> Run:
        """The first run; all runs share the data set, the protocol and the shifts."""
        return self.models[0].runs[0]


@dataclass(frozen=True, slots=True)
class SeedMean:
    """A metric averaged over seeds.

    Attributes:
        value: mean over the seeds.
        ci95: 95 % interval of that mean over images; None if there are several seeds and the metric has no per-image
            values.
        seed_sd: standard deviation over the seeds; None for one seed.
        n: number of images with a finite value for at least one seed.
    """

    value: float
    ci95: tuple[float, float] | None
    seed_sd: float | None
    n: int


def group_by_contract(result: Result) -> list[ContractGroup]:
    """Group runs by contract, then by model, both in the order of their first run."""
    groups: dict[str, dict[str, list[Run]]] = {}
    for run in result.runs:
        groups.setdefault(run.contract, {}).setdefault(run.model, []).append(run)
    return [
        ContractGroup(tuple(ModelRuns(model, tuple(runs)) for model, runs in models.items()))
        for models in groups.values()
    ]


def seed_mean(runs: Sequence[Run], id: str) -> SeedMean | None:
    """Average a metric of one model over its seeds; None if a run has no value for it."""
    metrics = [metric for run in runs if (metric := run.metric(id)) and metric.value is not None]
    if not metrics or len(metrics) < len(runs):
        return None
    values = np.array([metric.value for metric in metrics])
    if len(metrics) == 1:
        return SeedMean(float(values[0]), metrics[0].ci95, None, metrics[0].n)
    seed_sd = float(values.std(ddof=1))
    if (table := per_image_table(metrics)) is None:
        return SeedMean(float(values.mean()), None, seed_sd, metrics[0].n)
    per_image = influence_values(table).mean(axis=0)
    interval = mean_interval(per_image, bounds=mean_influence_bounds(table, metrics[0].bounds))
    limits = interval.low, interval.high
    ci95 = limits if np.isfinite(limits).all() else None
    return SeedMean(float(per_image.mean()), ci95, seed_sd, int(np.isfinite(table).any(axis=0).sum()))


def per_image_table(metrics: Sequence[MetricResult]) -> Float[np.ndarray, "m n"] | None:
    """Return the per-image values of m runs; None if a run has none, or none that is finite."""
    packed = [metric.per_image for metric in metrics]
    arrays = [unpack(array).astype(float) for array in packed if array is not None]
    if len(arrays) < len(packed) or not all(np.isfinite(array).any() for array in arrays):
        return None
    return np.stack(arrays)
