"""Difference of one metric of one model between baseline and candidate, with interval and p-value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnshift.array_types import Float
from cnnshift.results.aggregate import per_image_table
from cnnshift.results.schema import MetricResult, Run
from cnnshift.stats.influence import influence_difference_bounds, influence_values
from cnnshift.stats.mcnemar import mcnemar
from cnnshift.stats.mover import Estimate, mover_interval
from cnnshift.stats.paired import p_value, paired_interval
from cnnshift.stats.sample_size import required_seeds
from cnnshift.stats.seeds import seeded_difference, seeded_difference_unpaired


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline: fields of a `ComparedRow`.

    Attributes:
        baseline_value, candidate_value: means over seeds.
        difference: of these, in the unit of the metric.
        ci95: 95 % interval of the difference over images, and over seeds if both sides have several; None if the data
            do not determine it.
        p: two-sided p-value of the hypothesis "no difference"; None as for `ci95`.
        method: how interval and p-value were computed.
        n: number of images.
        seeds: number of runs of baseline and candidate.
        seed_sd: standard deviation of the difference over seeds; None if a side has a single run.
        seeds_needed: estimated number of seeds at which the interval excludes 0; None if there is no such number.
    """

    baseline_value: float
    candidate_value: float
    difference: float
    ci95: tuple[float, float] | None
    p: float | None
    method: str
    n: int
    seeds: tuple[int, int]
    seed_sd: float | None = None
    seeds_needed: int | None = None


def metric_difference(base: Sequence[Run], candidate: Sequence[Run], id: str) -> Difference:
    """Compute the difference of a metric.

    With per-image values, images are paired: the interval is that of the mean of d_i = candidate_i − base_i. If some
    images do not count on a side (NaN), d_i is the difference of their influence values (`cnnshift.stats.influence`),
    whose mean is the difference of the means over the counted images. For outcomes 0 and 1 of single runs, the p-value
    is the larger one of this and McNemar's exact test. Runs with the same seeds are paired by seed.

    Without per-image values, the intervals of both sides are combined as independent ones.

    Both sides are runs of one model under one contract, one per seed, each with a value of the metric.
    """
    sides = [sorted(runs, key=lambda run: run.seed) for runs in (base, candidate)]
    first, second = ([metric for run in runs if (metric := run.metric(id))] for runs in sides)
    before, after = per_image_table(first), per_image_table(second)
    if before is None or after is None:
        return _unpaired(first, second)
    same = [run.seed for run in sides[0]] == [run.seed for run in sides[1]]
    return _paired(before, after, first[0].bounds, paired_seeds=same)


def _paired(
    base: Float[np.ndarray, "m1 n"],
    candidate: Float[np.ndarray, "m2 n"],
    bounds: tuple[float, float] | None,
    *,
    paired_seeds: bool,
) -> Difference:
    limits = influence_difference_bounds(base, candidate, bounds)
    before, after = influence_values(base), influence_values(candidate)
    values = float(before.mean()), float(after.mean())
    n, seeds = base.shape[1], (len(base), len(candidate))
    if min(seeds) > 1 and n > 1:
        if paired_seeds:
            seeded = seeded_difference(after - before, bounds=limits)
        else:
            seeded = seeded_difference_unpaired(before, after, bounds=limits)
        ci95, method = _finite(seeded.low, seeded.high), "paired by image, over images and seeds"
        p, needed = seeded.p if ci95 else None, required_seeds(seeded)
        return Difference(*values, seeded.value, ci95, p, method, n, seeds, seeded.seed_sd, needed)
    changes = after.mean(axis=0) - before.mean(axis=0)
    interval, p, method = paired_interval(changes, bounds=limits), p_value(changes, bounds=limits), "paired by image"
    both = np.isfinite(base[0]) & np.isfinite(candidate[0])
    if seeds == (1, 1) and both.any() and _are_outcomes(base) and _are_outcomes(candidate):
        p = max(p, mcnemar(base[0, both], candidate[0, both]))
        method = f"{method}, with McNemar's exact test"
    ci95 = _finite(interval.low, interval.high)
    return Difference(*values, float(changes.mean()), ci95, p if ci95 else None, method, n, seeds)


def _are_outcomes(table: Float[np.ndarray, "m n"]) -> bool:
    """Return whether all finite values are 0 or 1."""
    return bool(np.isin(table[np.isfinite(table)], (0, 1)).all())


def _unpaired(base: Sequence[MetricResult], candidate: Sequence[MetricResult]) -> Difference:
    before, after = _estimate(base), _estimate(candidate)
    value = after[0] - before[0]
    interval = mover_interval(after, before)
    ci95 = _finite(interval.low, interval.high)
    method = "not paired, because the metric has no per-image values"
    seeds = len(base), len(candidate)
    return Difference(before[0], after[0], value, ci95, _normal_p(value, ci95), method, base[0].n, seeds)


def _estimate(metrics: Sequence[MetricResult]) -> Estimate:
    """Return the mean over seeds with limits: the mean limits over images, widened by the error over seeds."""
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
    """Return the p-value for a normal error with the half-width of the interval on the side of 0."""
    if ci95 is None:
        return None
    half = value - ci95[0] if value > 0 else ci95[1] - value
    if half == 0:
        return 1.0 if value == 0 else 0.0
    from scipy import special

    return float(2 * special.ndtr(-special.ndtri(0.975) * abs(value) / half))


def _finite(low: float, high: float) -> tuple[float, float] | None:
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
