"""Differences between two models, each trained with several seeds and measured on the same images.

A difference has two sources of error, the images that were drawn and the training runs that were made. The value of
run i on image j is

    d_ij = μ + S_i + I_j + E_ij,   variances σ_S², σ_I², σ_E²   (two-way crossed random effects)

with m runs and n images. The estimate of μ is the grand mean, with the variance V = V_I + σ_S² / m,
V_I = σ_I² / n + σ_E² / (m n). The mean squares of the analysis of variance estimate V_I = MS_I / (m n) precisely, but
σ_S² = (MS_S − MS_E) / n with m − 1 degrees of freedom only.

The interval is a generalized confidence interval: E(MS_S) is replaced by (m − 1) MS_S / C with C ~ χ² with m − 1
degrees of freedom, so that V(C) = V_I + max(0, (m − 1) MS_S / C − MS_E) / (m n), and the half-width h solves E[2 Φ(−h
/ √V(C))] = 1 − level. The part of h beyond the images, h_S² = h² − z² V_I, is added to the interval [l, u] of the
per-image means over runs (`paired_interval`) by MOVER:

    low = μ̂ − √((μ̂ − l)² + h_S²),   high = μ̂ + √((u − μ̂)² + h_S²)

It is never narrower than [l, u]. Two groups of runs that are not paired (m₁ of the base, m₂ of the candidate)
contribute one term each to V(C).

Coverage for normal effects is at least 94 % (Satterthwaite's t interval: 88 % with m = 2, 92 % with m = 3). If σ_S² / m
and the residual part of V_I are each half of V_I, the median h is 3.7 times that for known variances with m = 2, 1.6
times with m = 3 and 1.25 times with m = 5. `python -m benchmarks statistics` simulates coverage.

References:
    Satterthwaite 1946, Biometrics Bulletin 2:110.
    Weerahandi 1993, Journal of the American Statistical Association 88:899 (generalized confidence intervals).
    Burdick, Borror & Montgomery 2005, Design and Analysis of Gauge R&R Studies (crossed designs).
    Zou & Donner 2008, Statistics in Medicine 27:1693 (MOVER).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cnnshift.array_types import Float, Shaped
from cnnshift.stats.intervals import tail_probability
from cnnshift.stats.inversion import find_decreasing_root
from cnnshift.stats.paired import MIN_P_VALUE, ConfidenceCurve, confidence_curve
from cnnshift.stats.variance_components import VariancePivot, mean_squares

Levels = Float[np.ndarray, " r"]


@dataclass(frozen=True, slots=True)
class SeededDifference:
    """A mean difference over images and training runs, with its variance components.

    Attributes:
        value: candidate minus base, the mean over runs and images.
        low: lower limit, over images and runs.
        high: upper limit, over images and runs.
        p: two-sided p-value of "the mean over all images and runs is 0", from the same interval.
        image_low: lower limit over images, for these runs.
        image_high: upper limit over images, for these runs.
        image_sd: estimate of σ_I, the standard deviation over images of the mean over all runs.
        seed_sd: estimate of σ_S, the standard deviation over runs of the mean over all images; of two groups,
            √(σ₁² + σ₂²).
        residual_sd: estimate of σ_E; of two groups likewise. Negative variance estimates count as 0.
        images: n.
        seeds: number of runs: (m,) if paired, (m₁, m₂) if not.
        level: nominal coverage of both intervals.
    """

    value: float
    low: float
    high: float
    p: float
    image_low: float
    image_high: float
    image_sd: float
    seed_sd: float
    residual_sd: float
    images: int
    seeds: tuple[int, ...]
    level: float


def seeded_difference(
    differences: Shaped[np.ndarray, "m n"],
    *,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    level: float = 0.95,
) -> SeededDifference:
    """Return the mean difference of m pairs of training runs on n images, with its interval and p-value.

    Run i of the base and run i of the candidate are a pair, for example of the same seed.

    Args:
        differences: candidate minus base, for every pair of runs and every image.
        bounds: as in `paired_interval`.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: there are fewer than two runs (use `paired_interval`) or two images, and as in `paired_interval`.

    Example:
        >>> lost = np.tile(np.repeat([-1.0, 0.0], [8, 192]), (3, 1))
        >>> found = seeded_difference(lost)
        >>> found.value, found.seed_sd, round(found.high, 4)
        (-0.04, 0.0, -0.011)
    """
    table = _check(differences, "differences")
    return _summarize(table.mean(axis=0), [table], bounds, level)


def seeded_difference_unpaired(
    base: Shaped[np.ndarray, "m1 n"],
    candidate: Shaped[np.ndarray, "m2 n"],
    *,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    level: float = 0.95,
) -> SeededDifference:
    """Return the mean difference of m₂ runs of the candidate and m₁ unrelated runs of the base, on the same n images.

    Args:
        base: values of every run and image.
        candidate: values of other runs on the same images.
        bounds: bounds of a difference, as in `paired_interval`.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: as in `seeded_difference`, or the numbers of images differ.
    """
    first, second = _check(base, "base"), _check(candidate, "candidate")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"base has {first.shape[1]} images and candidate {second.shape[1]}; they must be the same")
    return _summarize(second.mean(axis=0) - first.mean(axis=0), [first, second], bounds, level)


def _check(table: Shaped[np.ndarray, "m n"], name: str) -> Float[np.ndarray, "m n"]:
    x = np.asarray(table, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise ValueError(f"{name} has shape {x.shape}; it must be [seeds, images] with at least two of each")
    if not np.isfinite(x).all():
        raise ValueError(f"{(~np.isfinite(x)).sum()} of {x.size} values of {name} are not finite; leave images out")
    return x


def _summarize(
    means: Float[np.ndarray, " n"],
    tables: list[Float[np.ndarray, "_ n"]],
    bounds: tuple[float, float] | None,
    level: float,
) -> SeededDifference:
    """Summarize the per-image mean differences over runs, and the tables [runs, images] behind them."""
    n = means.size
    tail = tail_probability(level)
    groups = [mean_squares(table) for table in tables]
    image_variance = float(means.var(ddof=1)) / n
    value = float(means.mean())
    pivot = VariancePivot(image_variance, groups, n)
    curve = confidence_curve(means, bounds)
    image_low, image_high = curve.at(tail)
    run_part = pivot.run_half_width_squared(pivot.half_width(tail), tail)
    low, high = (float(limit) for limit in _widen(value, image_low, image_high, run_part))
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    residual = sum(group.residual / group.m for group in groups)
    seed_variance = sum(max(0.0, group.between_seeds - group.residual) / n for group in groups)
    return SeededDifference(
        value=value,
        low=low,
        high=high,
        p=_p_value(curve, pivot),
        image_low=image_low,
        image_high=image_high,
        image_sd=math.sqrt(max(0.0, n * image_variance - residual)),
        seed_sd=math.sqrt(seed_variance),
        residual_sd=math.sqrt(sum(group.residual for group in groups)),
        images=n,
        seeds=tuple(group.m for group in groups),
        level=level,
    )


def _widen(
    value: float, low: float | Levels, high: float | Levels, squared: float | Levels
) -> tuple[float | Levels, float | Levels]:
    """Add a squared half-width to the limits."""
    return value - np.sqrt((value - low) ** 2 + squared), value + np.sqrt((high - value) ** 2 + squared)


def _p_value(curve: ConfidenceCurve, pivot: VariancePivot) -> float:
    """Return twice the tail probability at which the limit on the side of 0 is 0."""
    image_p = curve.p_value()
    if image_p == 1 or not pivot.scale:
        return image_p

    def distance(log_h: Levels) -> Levels:
        h = np.exp(log_h)
        tails = np.maximum(pivot.tail_probability(h), MIN_P_VALUE / 2)
        low, high = _widen(curve.mean, *curve.limits(tails), pivot.run_half_width_squared(h, tails))
        return np.asarray(low if curve.mean > 0 else -high)

    low, high = pivot.log_range
    log_h = find_decreasing_root(distance, low, high)
    return 1.0 if log_h == low else max(image_p, 2 * float(pivot.tail_probability(math.exp(log_h))))
