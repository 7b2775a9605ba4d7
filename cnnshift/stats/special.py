"""Quantiles of the beta, gamma, Student and normal distributions, and the binomial tail.

Importing `scipy.special` takes as long as a comparison of results may, hence these.

Beta quantiles are found in d, the log odds relative to the mode: x / (1 − x) = a / b · exp(d), with N = a + b. On
that scale the density is log-concave (DLMF 8.17.1, with Stirling's formula and its remainder δ for the constant):

    g(d) = √(a b / (2π N)) exp(δ(N) − δ(a) − δ(b) − D(d)),   D(d) = N log(1 + a (exp(d) − 1) / N) − a d.

D is what is left of the powers of x and 1 − x at the mode, free of the cancellation between large logarithms of Γ.
The tail beyond d on the side σ = ±1 is the integral of a smooth function that falls from 1,

    T(d) = g(d) ∫₀^∞ exp(−ψ(s)) ds,   ψ(s) = N log(1 + x (exp(σ s) − 1)) − σ a s,

summed by the trapezoidal rule after the substitution s = L exp(t − exp(−t)), L the width of the tail: the double
exponential formula, whose error falls exponentially with the number of nodes. log T is concave, so Newton's method
for log T(d) = log p converges from anywhere, and Halley's, which triples the digits, is Newton's with the known
curvature. It begins at the approximation of F by the cube root of a normal quotient, or where the tail is a power of
x. The gamma distribution is the limit of large b, and Student's is that of x with a = ν / 2 and b = ½.

Accuracy: relative, 1e-11 of x, and 1e-13 except where a shape is below 2 and the tail above 0.3, for shapes of ½ to
1e6 and tails down to 1e-30. A probability near 1 is only as good as its distance from 1: say `upper` instead.

Sources:
    NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov: 5.11 (Stirling), 8.2, 8.17, 8.18.
    Loader 2000, Fast and Accurate Computation of Binomial Probabilities (the constant and D).
    Paulson 1942, Annals of Mathematical Statistics 13:233 (cube root), as Abramowitz & Stegun 26.6.15.
    Takahasi & Mori 1974, Publications of RIMS 9:721 (the double exponential formula).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float, Shaped

Array = Float[np.ndarray, "..."]
Numbers = int | float | Shaped[np.ndarray, "..."]
Choice = bool | Bool[np.ndarray, "..."]

# Nodes and weights of the double exponential formula for functions that fall like exp(−s).
_STEP = 0.05
_NODES = np.arange(-3.5, 3.75, _STEP)
_S = np.exp(_NODES - np.exp(-_NODES))
_WEIGHTS = _STEP * (1 + np.exp(-_NODES)) * _S
# (1 − x / b)^b is exp(−x) to the last bit, and the beta distribution of x is the gamma distribution of b x.
_INFINITE = 1e40
_LEAST_SHAPE = 0.5
# After a step from where log T is this close, its cube is left: less than rounding.
_CLOSE = 1e-5
# Further away than this, every fourth node tells log T well enough: it is off by at most 1e-4, mostly by rounding only.
_NEAR, _COARSE = 0.01, 4
_MOST_STEPS = 50
# As many entries are solved at a time as a processor keeps the nodes of near.
_CHUNK = 256

# Remainder of Stirling's formula, DLMF 5.11.1: B₂ₖ / (2k (2k − 1)), the last first.
_STIRLING = (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)
# Arguments are raised by as many units, so that the series ends below rounding.
_RAISED = np.arange(10.0)

_NORMAL = NormalDist()


def normal_cdf(x: Numbers) -> Array:
    """Φ(x) = erfc(−x / √2) / 2, DLMF 7.17; 0 at −∞, 1 at ∞. As exact as the platform's erfc in either tail."""
    x = np.asarray(x, dtype=np.float64)
    scaled = (x.ravel() * -math.sqrt(0.5)).tolist()
    return (0.5 * np.fromiter(map(math.erfc, scaled), np.float64, x.size)).reshape(x.shape)


def normal_quantile(p: Numbers) -> Array:
    """Φ⁻¹(p), to within rounding (Wichura 1988, Applied Statistics 37:477); −∞ at 0, ∞ at 1, NaN outside."""
    p = np.asarray(p, dtype=np.float64)
    ends = {0.0: -math.inf, 1.0: math.inf}
    found = [_NORMAL.inv_cdf(v) if 0 < v < 1 else ends.get(v, math.nan) for v in p.ravel().tolist()]
    return np.array(found).reshape(p.shape)


def student_quantile(degrees: Numbers, p: Numbers) -> Array:
    """Quantile of Student's distribution: t² / ν is the reciprocal of the odds of a beta quantile.

    Args:
        degrees: ν, 1 or more.
        p: probability below it; −∞ at 0, 0 at ½, ∞ at 1, NaN outside.

    Raises:
        ValueError: fewer than 1 degree of freedom.
    """
    degrees, p = np.asarray(degrees, dtype=np.float64), np.asarray(p, dtype=np.float64)
    log_odds = _log_odds(degrees / 2, 0.5, 2 * np.minimum(p, 1 - p), False)
    return np.asarray(np.copysign(np.sqrt(degrees) * np.exp(-log_odds / 2), p - 0.5))


def gamma_quantile(shape: Numbers, p: Numbers, *, upper: Choice = False) -> Array:
    """Quantile of the gamma distribution of unit scale: x with P(shape, x) = p, DLMF 8.2.4.

    Args:
        shape: ½ or more.
        p: probability below x; 0 at 0, ∞ at 1, NaN outside.
        upper: p is the probability above x instead, Q(shape, x).

    Raises:
        ValueError: a shape below ½.
    """
    return np.asarray(_INFINITE * np.exp(_log_odds(shape, _INFINITE, p, upper)))


def beta_quantile(a: Numbers, b: Numbers, p: Numbers, *, upper: Choice = False) -> Array:
    """Quantile of the beta distribution: x with Iₓ(a, b) = p, DLMF 8.17.2.

    Args:
        a: exponent of x, ½ or more.
        b: exponent of 1 − x, likewise.
        p: probability below x; 0 at 0, 1 at 1, NaN outside.
        upper: p is the probability above x instead.

    Raises:
        ValueError: a or b below ½.
    """
    # Of −∞ and ∞, 0 and 1.
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-_log_odds(a, b, p, upper))))


def binomial_tail(k: int, n: int) -> float:
    """P(X ≤ k) for X ~ Binomial(n, ½), to within rounding.

    The largest term is a quotient of integers; the others follow by (n choose j − 1) = (n choose j) j / (n − j + 1).

    Args:
        k: at most n / 2, beyond which terms no longer fall; 0 where negative.
        n: number of draws.
    """
    if k > n / 2:
        raise ValueError(f"k is {k} of n {n}; at most half of n is allowed")
    term, total = 1.0, 0.0
    for j in range(k, -1, -1):
        total += term
        term *= j / (n - j + 1)
        if term < 1e-18 * total:
            break
    return math.comb(n, k) / 2**n * total if k >= 0 else 0.0


def _log_odds(a: Numbers, b: Numbers, p: Numbers, upper: Choice) -> Array:
    """log(x / (1 − x)) of a beta quantile x, which is accurate at both ends."""
    a, b, p, upper = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (a, b, p)), np.asarray(upper))
    if not (np.minimum(a, b) >= _LEAST_SHAPE).all():
        raise ValueError(f"the least shape is {np.minimum(a, b).min()}; it must be at least {_LEAST_SHAPE}")
    small = p <= 0.5
    # ∓∞ where nothing is beyond, NaN where p is no probability.
    tail = np.where(small, p, 1 - p)
    above = upper == small
    ends = np.where(tail == 0, np.where(above, math.inf, -math.inf), math.nan)
    inside = tail > 0
    entries = [v[inside] for v in (a, b, tail, above)]
    chunks = (slice(start, start + _CHUNK) for start in range(0, entries[0].size, _CHUNK))
    ends[inside] = np.concatenate([np.empty(0), *(_solve(*(v[chunk] for v in entries)) for chunk in chunks)])
    return ends


def _solve(
    a: Float[np.ndarray, " r"], b: Float[np.ndarray, " r"], p: Float[np.ndarray, " r"], above: Bool[np.ndarray, " r"]
) -> Float[np.ndarray, " r"]:
    """The log odds with probability p of at most ½ above them, or below."""
    # The larger exponent is b, so that nothing cancels in ψ: x and 1 − x change places.
    swapped = a > b
    a, b = np.minimum(a, b), np.maximum(a, b)
    side = np.where(above ^ swapped, 1.0, -1.0)
    n, log_p = a + b, np.log(p)
    stirling = _stirling(np.stack([n, a, b]))
    log_mode = (np.log(a) + np.log(b / n) - math.log(2 * math.pi)) / 2 + stirling[0] - stirling[1] - stirling[2]
    d = _approximate(a, b, p, side, log_mode)
    every = _COARSE
    for _ in range(_MOST_STEPS):
        odds = a / b * np.exp(d)
        x = odds / (1 + odds)
        # Slope and curvature of ψ at 0, whose tail falls by 1 / e within about L.
        derivative = side * (n * x - a)
        width = 2 / (derivative + np.sqrt(derivative**2 + 2 * n * x * (1 - x)))
        width = np.maximum(width, 1 / np.where(side > 0, b, a))
        step = np.minimum(width[:, None] * _S[::every], 700.0) * side[:, None]
        fall = n[:, None] * np.log1p(x[:, None] * np.expm1(step)) - a[:, None] * step
        # T / g, whose reciprocal is the derivative of log T.
        area = width * (np.exp(-np.minimum(fall, 700.0)) @ (every * _WEIGHTS[::every]))
        log_density = log_mode - (n * np.log1p(a / n * np.expm1(d)) - a * d)
        error = log_density + np.log(area) - log_p
        halley = np.maximum(1 - error * (derivative * area - 1) / 2, 0.5)
        d = d + side * error * area / halley
        furthest = np.abs(error).max()
        if every == 1 and furthest < _CLOSE:
            break
        # Nor do the others wait for one that is no number.
        if not furthest >= _NEAR:
            every = 1
    log_odds = d + np.log(a / b)
    return np.where(swapped, -log_odds, log_odds)


def _stirling(z: Float[np.ndarray, "k r"]) -> Float[np.ndarray, "k r"]:
    """δ(z) = log Γ(z) − (z − ½) log z + z − ½ log 2π."""
    raised = z + len(_RAISED)
    series = np.polyval(_STIRLING, raised**-2.0) / raised
    steps = z[..., None] + _RAISED
    return series + ((steps + 0.5) * np.log1p(1 / steps) - 1).sum(axis=-1)


def _approximate(
    a: Float[np.ndarray, " r"],
    b: Float[np.ndarray, " r"],
    p: Float[np.ndarray, " r"],
    side: Float[np.ndarray, " r"],
    log_mode: Float[np.ndarray, " r"],
) -> Float[np.ndarray, " r"]:
    """Where to begin: d as if the cube root of F = exp(d) were a quotient of normal variables; else a power."""
    z = side * -normal_quantile(p)
    c, e = 1 / (9 * a), 1 / (9 * b)
    # (1 − e) w − (1 − c) = z √(e w² + c) for w = F^(1/3)
    square, product, rest = (1 - e) ** 2 - z**2 * e, (1 - e) * (1 - c), (1 - c) ** 2 - z**2 * c
    root = np.sqrt(np.maximum(product**2 - square * rest, 0.0))
    w = (product + side * root) / np.where(square > 0, square, 1.0)
    # The density falls like exp(−k |d|) at the far end, which bounds the quantile where k is 1 or more.
    k, share = np.where(side > 0, b, a), np.where(side > 0, np.log(a / (a + b)), np.log1p(-a / (a + b)))
    power = -side * (np.log(p * k) - log_mode + (a + b) * share) / k
    usable = (square > 0) & (w > 0)
    cube = 3 * np.log(np.where(usable, w, 1.0))
    return np.where(usable, np.where(side > 0, np.minimum(cube, power), np.maximum(cube, power)), power)
