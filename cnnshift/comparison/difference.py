"""One metric of one model, before and after: the difference, paired by image, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cnnshift.results.packing import unpack
from cnnshift.results.schema import MetricResult, Run
from cnnshift.stats.influence import influence_difference_bounds, influence_values
from cnnshift.stats.mcnemar import mcnemar
from cnnshift.stats.mover import Estimate, mover_interval
from cnnshift.stats.paired import p_value, paired_interval
from cnnshift.stats.sample_size import required_seeds
from cnnshift.stats.seeds import SeededDifference, seeded_difference, seeded_difference_unpaired

Table = Float[np.ndarray, "m n"]
Base = Float[np.ndarray, "m1 n"]
Candidate = Float[np.ndarray, "m2 n"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus base.

    Attributes:
        base, candidate: the values, means over seeds where there are several.
        value: their difference, in the metric's unit.
        ci95: its 95 % interval, over images, and over seeds where both sides have several; None where the data say
            nothing of it.
        p: two-sided p-value of "no difference"; None likewise.
        method: how both were found.
        n: number of images.
        seeds: numbers of runs of base and candidate.
        seed_sd: standard deviation over seeds of the difference; None where a side has only one.
        seeds_needed: how many would end the interval at 0; None where no number would, or nobody knows.
    """

    base: float
    candidate: float
    value: float
    ci95: tuple[float, float] | None
    p: float | None
    method: str
    n: int
    seeds: tuple[int, int]
    seed_sd: float | None = None
    seeds_needed: int | None = None


def difference(base: Sequence[Run], candidate: Sequence[Run], id: str) -> Difference:
    """Compare a metric that all runs have a value of.

    With per-image values, images are paired: the interval is that of the mean of d_i = candidate_i − base_i. Where
    images do not count on a side (NaN), d_i is the difference of their influence values, see `stats.influence`, whose
    mean is the difference of the means over the images that do. Outcomes 0 and 1, of images that count on both sides,
    must also pass McNemar's exact test: the larger of both p-values counts. Runs of the same seeds are paired too.

    Without per-image values the two intervals are combined as if they were independent.

    Args:
        base: runs of one model under one contract, one per seed.
        candidate: runs to compare with them, under the same contract.
        id: of the metric.
    """
    before, after = (sorted(runs, key=lambda run: run.seed) for runs in (base, candidate))
    first, second = ([_metric(run, id) for run in runs] for runs in (before, after))
    tables = _table(first), _table(second)
    if tables[0] is None or tables[1] is None:
        return _unpaired(first, second)
    same = [run.seed for run in before] == [run.seed for run in after]
    return _paired(tables[0], tables[1], first[0].bounds, paired_seeds=same)


def _metric(run: Run, id: str) -> MetricResult:
    metric = run.metric(id)
    assert metric is not None
    assert metric.value is not None
    return metric


def _table(metrics: Sequence[MetricResult]) -> Table | None:
    """Per-image values by seed; None where a run has none, or an image counts in no run."""
    packed = [metric.per_image for metric in metrics]
    arrays = [unpack(array).astype(float) for array in packed if array is not None]
    if len(arrays) < len(packed) or not all(np.isfinite(array).any() for array in arrays):
        return None
    return np.stack(arrays)


def _paired(base: Base, candidate: Candidate, bounds: tuple[float, float] | None, *, paired_seeds: bool) -> Difference:
    limits = influence_difference_bounds(base, candidate, bounds)
    before, after = influence_values(base), influence_values(candidate)
    values = float(before.mean()), float(after.mean())
    n, seeds = base.shape[1], (len(base), len(candidate))
    if min(seeds) > 1 and n > 1:
        if paired_seeds:
            found = seeded_difference(after - before, bounds=limits)
        else:
            found = seeded_difference_unpaired(before, after, bounds=limits)
        return _over_seeds(found, values, n, seeds)
    changes = after.mean(axis=0) - before.mean(axis=0)
    interval, p, method = paired_interval(changes, bounds=limits), p_value(changes, bounds=limits), "paired by image"
    both = np.isfinite(base[0]) & np.isfinite(candidate[0])
    if seeds == (1, 1) and both.any() and _are_outcomes(base) and _are_outcomes(candidate):
        p = max(p, mcnemar(base[0, both], candidate[0, both]))
        method = f"{method}, and McNemar's exact test"
    ci95 = _finite(interval.low, interval.high)
    return Difference(*values, float(changes.mean()), ci95, p if ci95 else None, method, n, seeds)


def _are_outcomes(table: Table) -> bool:
    """Whether all values that count are 0 or 1."""
    return bool(np.isin(table[np.isfinite(table)], (0, 1)).all())


def _over_seeds(found: SeededDifference, values: tuple[float, float], n: int, seeds: tuple[int, int]) -> Difference:
    ci95 = _finite(found.low, found.high)
    return Difference(
        *values,
        found.value,
        ci95,
        found.p if ci95 else None,
        "paired by image, over images and seeds",
        n,
        seeds,
        seed_sd=found.seed_sd,
        seeds_needed=required_seeds(found),
    )


def _unpaired(base: Sequence[MetricResult], candidate: Sequence[MetricResult]) -> Difference:
    before, after = _summary(base), _summary(candidate)
    value = after[0] - before[0]
    interval = mover_interval(after, before)
    ci95 = _finite(interval.low, interval.high)
    method = "not paired: the metric has no values per image"
    seeds = len(base), len(candidate)
    return Difference(before[0], after[0], value, ci95, _normal_p(value, ci95), method, base[0].n, seeds)


def _summary(metrics: Sequence[MetricResult]) -> Estimate:
    """Mean over seeds, with the mean limits over images, widened by the error of the mean over seeds."""
    values = np.array([metric.value for metric in metrics], dtype=float)
    value = float(values.mean())
    limits = [metric.ci95 for metric in metrics if metric.ci95 is not None]
    if len(limits) < len(metrics):
        return value, -math.inf, math.inf
    low, high = np.mean(limits, axis=0)
    error = 0.0
    if len(values) > 1:
        from scipy import special

        error = float(special.stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values)))
    below, above = (math.hypot(max(distance, 0.0), error) for distance in (value - low, high - value))
    return value, value - below, value + above


def _normal_p(value: float, ci95: tuple[float, float] | None) -> float | None:
    """p-value as if the error were normal with the interval's half-width on the side of 0."""
    if ci95 is None:
        return None
    half = value - ci95[0] if value > 0 else ci95[1] - value
    if half == 0:
        return 1.0 if value == 0 else 0.0
    from scipy import special

    return float(2 * special.ndtr(-special.ndtri(0.975) * abs(value) / half))


def _finite(low: float, high: float) -> tuple[float, float] | None:
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
