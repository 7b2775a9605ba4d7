"""Runs as people read them: one table per protocol, one row per model, seeds taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnshift.results.packing import unpack
from cnnshift.results.schema import Result, Run
from cnnshift.stats.influence import influence_values, mean_influence_bounds
from cnnshift.stats.intervals import mean_interval


@dataclass(frozen=True, slots=True)
class ModelRuns:
    """One model under one protocol, over all its seeds."""

    model: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class ContractGroup:
    """All models measured under one contract."""

    models: tuple[ModelRuns, ...]

    @property
    def example(self) -> Run:
        """Any run: they share data set, protocol and shifts."""
        return self.models[0].runs[0]


@dataclass(frozen=True, slots=True)
class SeedMean:
    """A metric over seeds.

    Attributes:
        value: mean over the seeds.
        ci95: 95 % interval over images, of that mean; None where images have no value of their own
            and there is more than one seed.
        seed_sd: standard deviation over the seeds; None for one seed.
        n: number of images that count for one of the seeds.
    """

    value: float
    ci95: tuple[float, float] | None
    seed_sd: float | None
    n: int


def group_by_contract(result: Result) -> list[ContractGroup]:
    """Runs by contract, then by model, both in the order of their first run."""
    groups: dict[str, dict[str, list[Run]]] = {}
    for run in result.runs:
        groups.setdefault(run.contract, {}).setdefault(run.model, []).append(run)
    return [
        ContractGroup(tuple(ModelRuns(model, tuple(runs)) for model, runs in models.items()))
        for models in groups.values()
    ]


def seed_mean(runs: Sequence[Run], id: str) -> SeedMean | None:
    """A metric of one model over its seeds; None where a run has no value for it."""
    found = [metric for run in runs if (metric := run.metric(id)) and metric.value is not None]
    if not found or len(found) < len(runs):
        return None
    values = np.array([metric.value for metric in found])
    if len(found) == 1:
        return SeedMean(float(values[0]), found[0].ci95, None, found[0].n)
    spread = float(values.std(ddof=1))
    packed = [metric.per_image for metric in found if metric.per_image is not None]
    if len(packed) < len(found):
        return SeedMean(float(values.mean()), None, spread, found[0].n)
    table = np.stack([unpack(array).astype(float) for array in packed])
    per_image = influence_values(table).mean(axis=0)
    interval = mean_interval(per_image, bounds=mean_influence_bounds(table, found[0].bounds))
    limits = interval.low, interval.high
    finite = limits if np.isfinite(limits).all() else None
    return SeedMean(float(per_image.mean()), finite, spread, int(np.isfinite(table).any(axis=0).sum()))
