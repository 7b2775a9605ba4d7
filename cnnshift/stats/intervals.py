"""Confidence intervals of means of per-image values.

Images are independent draws. Nothing is assumed about the distribution of their values. x̄, m₂ and m₃ are the mean
and the central moments of n values, s² = m₂ n / (n − 1), and α / 2 is the probability beyond each limit.

**Bounded values.** With the range scaled to [0, 1], the limits of two intervals are blended.

1. *Generalized Clopper-Pearson*, near a bound, where rare images that the sample does not contain dominate the error.
   Add one image with the value e: 0 for the lower limit, 1 for the upper. With Dirichlet(1, …, 1) weights, the
   weighted mean of the n + 1 values has the mean c and the variance v / (n + 2) with

       c = (n x̄ + e) / (n + 1),   v = (n m₂ + n (x̄ − e)² / (n + 1)) / (n + 1).

   The limit is the lower or upper α / 2 quantile of the beta distribution with this mean and variance: a = c t,
   b = (1 − c) t with t = c (1 − c) (n + 2) / v − 1. For 0/1 values this is the Clopper-Pearson interval; it is
   narrower for values that vary less. If all values are equal, the weighted mean itself has a quantile in closed
   form, and the interval is [x̄ q, x̄ q + 1 − q] with q = (α / 2)^(1/n). The Dirichlet bound is Gaffke's; its coverage
   is conjectured, not proved. Fay & Feuer match moments in the same way, with a gamma distribution.
2. *Shifted gamma* (Pearson type III), away from the bounds, where the first is too wide for values that vary little.
   With κ = m₃ / m₂ and k = n s² / κ², the sum deviates like κ times a Poisson count with mean k, and the limits are
   x̄ + κ (Q(k + ½) − k) / n with the α / 2 quantiles Q of the gamma distribution of that shape and unit scale. To
   second order this is the skewness correction of Johnson and of Hall; unlike these it keeps the limits in order
   around x̄.

The weight of the first is 1 within max(0.05, 2/n) of a bound, 0 beyond max(0.08, 4/n), and linear in between.

Coverage at 95 % and n ≥ 30 (simulated, and exact for two-valued images) is at least 93 % for 0/1 values, for fractions
of any variance and for values that mostly equal a bound. It exceeds 97 % near the bounds and for values with few
levels: up to 99 % if fewer than 5 of up to 150 images have the rarer of two values.

It is lower in one case, in which no interval that is narrow for narrow distributions can have the nominal coverage: the
mean is more than about 0.05 from both bounds, the sample contains on average fewer than 4 rare images at a distance d
from the others, and the standard deviation of the others is less than 2 d / √n. If the sample contains 1 rare image on
average and the others hardly vary, coverage is 63 %, the probability that the sample contains at least one.

**Unbounded values.** The t interval after Hall's cubic transformation, which removes the skewness. Simulated coverage
at n ≥ 30: 93 to 95 % for normal, t₅ and gamma values, 92 to 95 % for lognormal values with σ of 0.5 and 1 (Johnson's
correction 87 %, t interval 88 %), 90 % for σ = 1.5, and 88 % for values of which 3 of 30 differ from 0 on average.

References:
    Clopper & Pearson 1934, Biometrika 26:404.
    Johnson 1978, Journal of the American Statistical Association 73:536.
    Hall 1992, Journal of the Royal Statistical Society B 54:221 (cubic transformation).
    Fay & Feuer 1997, Statistics in Medicine 16:791 (one more event of the largest size).
    Gaffke 2005, Mathematical Methods of Statistics 14:451.
    Learned-Miller & Thomas 2019, arXiv:1905.06208 (study of Gaffke's bound).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cnnshift.array_types import Float, Shaped

# Distances from the nearer bound between which the two intervals are blended: as fractions of the range, in images.
_NEAR, _FAR = 0.05, 0.08
_NEAR_IMAGES, _FAR_IMAGES = 2, 4

# Smaller variances of values in [0, 1] are rounding errors of equal values.
_MIN_VARIANCE = 1e-24
# Values may exceed their bounds by this fraction of the range, the rounding error of a mean over shifts.
_SLACK = 1e-9
# For larger k the gamma quantiles are expanded, with an error below 1e-7 of the width.
_MAX_JUMPS = 1e6
# Below this product of skewness and t quantile, Hall's transformation is expanded, to within rounding.
_MIN_SKEWNESS = 1e-5

# Numbers whose relative difference is smaller are equal within rounding.
ROUNDING = 1e-12

Moments = tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"], Float[np.ndarray, " r"]]
"""Mean and second and third central moment (divided by n) of r samples."""
Limits = tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]
Tail = float | Float[np.ndarray, " r"]
"""Probability beyond each limit."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval with equal tails.

    Attributes:
        low: lower limit; −inf if the data and the bounds do not determine one.
        high: upper limit; inf likewise.
        method: how it was computed.
    """

    low: float
    high: float
    method: str


def mean_interval(
    values: Shaped[np.ndarray, " n"],
    *,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    level: float = 0.95,
) -> Interval:
    """Return the confidence interval of the population mean, from the values of n images.

    The interval contains the mean of `values`, lies within `bounds`, grows with `level`, and depends on the first three
    moments of `values` only. Equal values have the closed form of the module docstring if both bounds are finite, else
    an infinite interval (up to a finite bound). One value has the bounds as its interval.

    Args:
        values: one per image, numbers or booleans, without images that do not count.
        bounds: smallest and largest possible value of an image; either may be infinite. None means unbounded.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: `values` is empty, not one-dimensional, not finite or not within `bounds`; `bounds` are not in
            order; or `level` is not between 0 and 1.

    Example:
        >>> interval = mean_interval(np.ones(100))
        >>> round(interval.low, 4), interval.high
        (0.9638, 1.0)
    """
    tail = tail_probability(level)
    x = check_sample(values, "values")
    least, largest = (-math.inf, math.inf) if bounds is None else bounds
    if not least < largest:
        raise ValueError(f"bounds is {bounds}; the first must be less than the second")
    width = largest - least
    slack = _SLACK * width if math.isfinite(width) else 0.0
    if x.min() < least - slack or x.max() > largest + slack:
        raise ValueError(f"values range from {x.min()} to {x.max()}; they must lie within {bounds}")
    x = np.clip(x, least, largest)
    if x.size == 1:
        return Interval(float(least), float(largest), "the bounds: one image")
    if math.isfinite(width):
        moments = central_moments(np.clip((x[None] - least) / width, 0.0, 1.0))
        lows, highs = bounded_limits(*moments, x.size, tail)
        low, high = least + width * float(lows[0]), least + width * float(highs[0])
        method = _bounded_method(*moments[:2], x.size)
    elif np.ptp(x) <= ROUNDING * (scale := float(np.abs(x).max())):
        return Interval(float(least), float(largest), "the bounds: all images are equal")
    else:
        lows, highs = unbounded_limits(*central_moments(x[None] / scale), x.size, tail)
        low, high = scale * float(lows[0]), scale * float(highs[0])
        method = "t with Hall's skewness correction"
    mean = float(x.mean())
    return Interval(min(max(low, least), mean), max(min(high, largest), mean), method)


def check_sample(values: Shaped[np.ndarray, " n"], name: str) -> Float[np.ndarray, " n"]:
    """Return values as 64-bit numbers; raise `ValueError` unless they are a vector of at least one finite number."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"{name} has shape {x.shape}; it must have one dimension and at least one value")
    if broken := (~np.isfinite(x)).sum():
        raise ValueError(f"{broken} of {x.size} {name} are not finite; leave these images out")
    return x


def tail_probability(level: float) -> float:
    """Return the probability beyond each limit of a two-sided interval; raise `ValueError` unless 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    return (1 - level) / 2


def central_moments(values: Float[np.ndarray, "r n"]) -> Moments:
    """Return the mean and the second and third central moment (divided by n) of every row."""
    mean = values.mean(axis=1)
    deviation = values - mean[:, None]
    square = deviation**2
    return mean, square.mean(axis=1), (square * deviation).mean(axis=1)


def bounded_limits(
    mean: Float[np.ndarray, " r"],
    variance: Float[np.ndarray, " r"],
    third: Float[np.ndarray, " r"],
    n: int,
    tail: Tail,
) -> Limits:
    """Return the limits of the means of r samples of n ≥ 2 values in [0, 1], from their central moments."""
    tail = np.broadcast_to(tail, mean.shape)
    weight = _clopper_pearson_weight(mean, variance, n)
    # Limits of equal values; quantiles take most of the time, so they are computed where they count only.
    q = tail ** (1 / n)
    low, high = mean * q, 1 - (1 - mean) * q
    if (some := (variance >= _MIN_VARIANCE) & (weight > 0)).any():
        low[some], high[some] = _clopper_pearson_limits(mean[some], variance[some], n, tail[some])
    if (some := weight < 1).any():
        w = weight[some]
        gamma = _shifted_gamma_limits(mean[some], variance[some], third[some], n, tail[some])
        low[some] = w * low[some] + (1 - w) * np.clip(gamma[0], 0.0, 1.0)
        high[some] = w * high[some] + (1 - w) * np.clip(gamma[1], 0.0, 1.0)
    return np.minimum(low, mean), np.maximum(high, mean)


def _clopper_pearson_weight(
    mean: Float[np.ndarray, " r"], variance: Float[np.ndarray, " r"], n: int
) -> Float[np.ndarray, " r"]:
    near, far = max(_NEAR, _NEAR_IMAGES / n), max(_FAR, _FAR_IMAGES / n)
    weight = np.clip((far - np.minimum(mean, 1 - mean)) / (far - near), 0.0, 1.0)
    return np.where(variance < _MIN_VARIANCE, 1.0, weight)


def _bounded_method(mean: Float[np.ndarray, " r"], variance: Float[np.ndarray, " r"], n: int) -> str:
    weight = _clopper_pearson_weight(mean, variance, n)[0]
    if weight == 1:
        return "generalized Clopper-Pearson"
    return "shifted gamma" if weight == 0 else "blend of generalized Clopper-Pearson and shifted gamma"


def _clopper_pearson_limits(
    mean: Float[np.ndarray, " r"], variance: Float[np.ndarray, " r"], n: int, tail: Tail
) -> Limits:
    """Return the limits of 1 in the module docstring, for values that vary."""
    from scipy import special

    added = np.array([[0.0], [1.0]])
    c = (n * mean + added) / (n + 1)
    v = (n * variance + n / (n + 1) * (mean - added) ** 2) / (n + 1)
    t = c * (1 - c) * (n + 2) / v - 1
    a, b = t * c, t * (1 - c)
    return special.betaincinv(a[0], b[0], tail), special.betainccinv(a[1], b[1], tail)


def _shifted_gamma_limits(
    mean: Float[np.ndarray, " r"], variance: Float[np.ndarray, " r"], third: Float[np.ndarray, " r"], n: int, tail: Tail
) -> Limits:
    """Return the limits of 2 in the module docstring, for values that vary."""
    from scipy import special

    z = -special.ndtri(tail)
    sample_variance = variance * n / (n - 1)
    jump = third / variance
    size = np.abs(jump)
    few = n * sample_variance < _MAX_JUMPS * size**2
    k = np.where(few, n * sample_variance, 1.0) / np.where(few, size**2, 1.0)
    # Q(k + ½) − k = ±z √k + (2 z² + 1) / 6 + O(1 / √k)
    center = size * (2 * z**2 + 1) / 6
    half = z * np.sqrt(n * sample_variance)
    below = np.where(few, size * (special.gammaincinv(k + 0.5, tail) - k), center - half)
    above = np.where(few, size * (special.gammainccinv(k + 0.5, tail) - k), center + half)
    left = jump < 0
    return mean + np.where(left, -above, below) / n, mean + np.where(left, -below, above) / n


def unbounded_limits(
    mean: Float[np.ndarray, " r"],
    variance: Float[np.ndarray, " r"],
    third: Float[np.ndarray, " r"],
    n: int,
    tail: Tail,
) -> Limits:
    """Return the limits of the means of r samples of n values that vary, from their central moments.

    With the t statistic T and the skewness γ of the mean, m₃ / (m₂^1.5 √n), T + γ T² / 3 + γ² T³ / 27 + γ / 6 has
    Student's t distribution to second order (Hall 1992). The limits invert it with a cube root.
    """
    from scipy import special

    skewness = third / variance**1.5 / math.sqrt(n)
    t = -special.stdtrit(n - 1, tail)

    def invert(x: Tail) -> Float[np.ndarray, " r"]:
        # The expansion is not monotone in x beyond 3 / (2 γ).
        small = np.abs(skewness) * np.maximum(np.abs(x), 1) < _MIN_SKEWNESS
        divisor = np.where(small, 1.0, skewness)
        root = 3 / divisor * (np.cbrt(1 + divisor * (x - divisor / 6)) - 1)
        return np.where(small, x - skewness * (2 * x**2 + 1) / 6, root)

    error = np.sqrt(variance / (n - 1))
    return mean - error * invert(t), mean - error * invert(-t)
