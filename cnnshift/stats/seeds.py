"""Differences between two ways of training, measured with several seeds on the same images.

A network that is trained again is another network, so a difference has two sources of error: the
images that were drawn and the training runs that were. The value of run i on image j is taken as

    d_ij = μ + S_i + I_j + E_ij,   variances σ_S², σ_I², σ_E²   (two-way crossed random effects)

with m runs and n images, and μ is wanted: the mean over all images and all runs. Its estimate, the
grand mean, has the variance V = V_I + σ_S² / m with V_I = σ_I² / n + σ_E² / (m n). From the mean
squares of the analysis of variance, V_I = MS_I / (m n) is known well, and σ_S² = (MS_S − MS_E) / n
badly: MS_S has m − 1 degrees of freedom.

The interval is a generalised confidence interval: the unknown E(MS_S) is replaced by
(m − 1) MS_S / C with C distributed like χ² with m − 1 degrees of freedom, so that
V(C) = V_I + max(0, (m − 1) MS_S / C − MS_E) / (m n), and h solves E[2 Φ(−h / √V(C))] = 1 − level. Of
h, the part beyond the images, h_S² = h² − z² V_I, is added to each side of the interval [l, u] of
the per-image means over runs (`paired_interval`), as MOVER adds parts:

    low = μ̂ − √((μ̂ − l)² + h_S²),   high = μ̂ + √((u − μ̂)² + h_S²)

It is never narrower than [l, u]. Two groups of runs that are not paired (m₁ of the base, m₂ of the
candidate) have one such term each. Satterthwaite's t interval, the usual choice, covers 88 % in
places with m = 2, and 92 % with m = 3, for normal effects; this one covers 94 % or more.
The price is width: with σ_S² / m and the residual's part of V_I both half of V_I, h is 3.7 times that
of known variances with m = 2, 1.6 times with m = 3, 1.25 times with m = 5 (medians).

Simulated coverage: `python -m benchmarks statistics`, printed in benchmarks/README.md.

Sources:
    Satterthwaite 1946, Biometrics Bulletin 2:110.
    Weerahandi 1993, Journal of the American Statistical Association 88:899 (generalised intervals).
    Burdick, Borror & Montgomery 2005, Design and Analysis of Gauge R&R Studies (crossed designs).
    Zou & Donner 2008, Statistics in Medicine 27:1693 (MOVER).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from cnnshift.stats.intervals import tail_probability
from cnnshift.stats.inversion import find_decreasing_root
from cnnshift.stats.paired import MIN_P_VALUE, ConfidenceCurve, confidence_curve, invert_curve
from cnnshift.stats.variance_components import SPAN, VariancePivot, mean_squares

Levels = Float[np.ndarray, " r"]


@dataclass(frozen=True, slots=True)
class SeededDifference:
    """A mean difference over images and training runs, and where its error comes from.

    Attributes:
        value: candidate minus base, the mean over runs and images.
        low: lower limit, for other images and other runs.
        high: upper limit, likewise.
        p: two-sided p-value of "the mean over all images and runs is 0", from the same interval.
        image_low: lower limit for other images and these very runs.
        image_high: upper limit, likewise.
        image_sd: σ_I, the standard deviation over images of the mean over all runs.
        seed_sd: σ_S, that over runs of the mean over all images; of two groups, √(σ₁² + σ₂²).
        residual_sd: σ_E, that of what is left; of two groups likewise. The three are estimates from
            mean squares, 0 where these come out negative.
        images: n.
        seeds: number of runs, (m,) if paired and (m₁, m₂) if not.
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
    """Mean difference of m pairs of training runs on n images.

    Run i of the base and run i of the candidate are a pair, of the same seed for instance. The
    module docstring has the formulas.

    Args:
        differences: candidate minus base, for every pair of runs and every image.
        bounds: as in `paired_interval`.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: fewer than two runs, with which the spread over runs is unknown (then
            `paired_interval` is what can be said), fewer than two images, and as in `paired_interval`.

    Example:
        >>> lost = np.tile(np.repeat([-1.0, 0.0], [8, 192]), (3, 1))
        >>> found = seeded_difference(lost)
        >>> found.value, found.seed_sd, round(found.high, 4)
        (-0.04, 0.0, -0.011)
    """
    table = _check(differences, "differences")
    return _summarise(table.mean(axis=0), [table], bounds, level)


def seeded_difference_unpaired(
    base: Shaped[np.ndarray, "m1 n"],
    candidate: Shaped[np.ndarray, "m2 n"],
    *,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    level: float = 0.95,
) -> SeededDifference:
    """Mean difference of m₂ runs of the candidate and m₁ other runs of the base, on the same n images.

    Args:
        base: values of every run and image.
        candidate: values of other runs on the same images.
        bounds: of a difference, as in `paired_interval`.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: as in `seeded_difference`, or numbers of images that differ.
    """
    first, second = _check(base, "base"), _check(candidate, "candidate")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"base has {first.shape[1]} images and candidate {second.shape[1]}; they must be the same")
    return _summarise(second.mean(axis=0) - first.mean(axis=0), [first, second], bounds, level)


def _check(table: Shaped[np.ndarray, "m n"], name: str) -> Float[np.ndarray, "m n"]:
    x = np.asarray(table, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise ValueError(f"{name} have shape {x.shape}; at least two seeds (rows) and two images are needed")
    if not np.isfinite(x).all():
        raise ValueError(f"{(~np.isfinite(x)).sum()} of {x.size} values of {name} are not finite; leave images out")
    return x


def _summarise(
    means: Float[np.ndarray, " n"],
    tables: list[Float[np.ndarray, "_ n"]],
    bounds: tuple[float, float] | None,
    level: float,
) -> SeededDifference:
    """The difference, from per-image means over runs and the tables whose runs they are means of."""
    n = means.size
    tail = tail_probability(level)
    groups = [mean_squares(table) for table in tables]
    image_variance = float(means.var(ddof=1)) / n
    value = float(means.mean())
    pivot = VariancePivot(image_variance, groups, n)
    limits = confidence_curve(means, bounds)
    image_low, image_high = limits(tail)
    extra = pivot.run_half_width_squared(pivot.half_width(tail), tail)
    low, high = (float(end) for end in _widen(value, image_low, image_high, extra))
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    own = n * image_variance - sum(group.residual / group.m for group in groups)
    seeds = sum(max(0.0, group.between_seeds - group.residual) / n for group in groups)
    return SeededDifference(
        value,
        low,
        high,
        _invert(limits, pivot),
        image_low,
        image_high,
        math.sqrt(max(0.0, own)),
        math.sqrt(seeds),
        math.sqrt(sum(group.residual for group in groups)),
        n,
        tuple(group.m for group in groups),
        level,
    )


def _widen(
    value: float, low: float | Levels, high: float | Levels, extra: float | Levels
) -> tuple[float | Levels, float | Levels]:
    """Limits with the squared half-width of the runs added."""
    return value - np.sqrt((value - low) ** 2 + extra), value + np.sqrt((high - value) ** 2 + extra)


def _invert(curve: ConfidenceCurve, pivot: VariancePivot) -> float:
    """p-value: twice the tail at which the limit on the side of 0 is 0, which is found by its h."""
    mean = curve.mean
    alone = invert_curve(curve)
    if alone == 1 or not pivot.scale:
        return alone

    def beyond(log_h: Levels) -> Levels:
        h = np.exp(log_h)
        tails = np.maximum(pivot.tail_probability(h), MIN_P_VALUE / 2)
        low, high = _widen(mean, *curve.at(tails), pivot.run_half_width_squared(h, tails))
        return np.asarray(low if mean > 0 else -high)

    log_scale, log_span = math.log(pivot.scale), math.log(SPAN)
    log_h = find_decreasing_root(beyond, log_scale - log_span, log_scale + log_span)
    if log_h == log_scale - log_span:
        return 1.0
    return max(alone, 2 * float(pivot.tail_probability(math.exp(log_h))))
