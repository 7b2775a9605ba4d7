"""Variance of a mean over crossed images and training runs: the model and formulas are in `seeds`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from cnnshift.stats.inversion import find_decreasing_root

# The expectation over C is a sum over its quantiles at these log odds, equally spaced, with these weights.
_LOG_ODDS = np.linspace(-32.0, 32.0, 81)
_PROBABILITIES = 1 / (1 + np.exp(-_LOG_ODDS))
_WEIGHTS = _PROBABILITIES * _PROBABILITIES[::-1] / (_PROBABILITIES @ _PROBABILITIES[::-1])
# h lies within this factor of the standard error of a mean whose runs were as they are.
SPAN = 1e9


@dataclass(frozen=True, slots=True)
class MeanSquares:
    """Mean squares of a table of m runs.

    Attributes:
        m: number of runs.
        between_seeds: MS_S, n times the variance of the means of the runs.
        residual: MS_E, what neither a run nor an image accounts for.
    """

    m: int
    between_seeds: float
    residual: float


def mean_squares(table: Float[np.ndarray, "m n"]) -> MeanSquares:
    """Mean squares of a table of runs and images, m ≥ 2 and n ≥ 2."""
    m, n = table.shape
    runs, images = table.mean(axis=1, keepdims=True), table.mean(axis=0)
    rest = table - runs - images + table.mean()
    return MeanSquares(m, n * float(runs.var(ddof=1)), float((rest**2).sum()) / ((m - 1) * (n - 1)))


@cache
def _chi_squares(degrees: int) -> Float[np.ndarray, " r"]:
    """Quantiles of C: the same for every table of as many runs."""
    from scipy import special

    found = 2 * special.gammaincinv(degrees / 2, _PROBABILITIES)
    found.setflags(write=False)
    return found


class VariancePivot:
    """Distribution of V(C), and the half-widths h that go with it."""

    def __init__(self, image_variance: float, groups: list[MeanSquares], n: int) -> None:
        self.image_variance = image_variance
        self._variance, self._weights = np.full(1, image_variance), np.ones(1)
        for group in groups:
            between = (group.m - 1) * group.between_seeds / _chi_squares(group.m - 1)
            excess = np.maximum(0.0, between - group.residual) / (n * group.m)
            self._variance = np.add.outer(self._variance, excess).ravel()
            self._weights = np.multiply.outer(self._weights, _WEIGHTS).ravel()
        self.scale = math.sqrt(image_variance + sum(group.between_seeds / (n * group.m) for group in groups))

    def tail_probability(self, half_width: float | Float[np.ndarray, " r"]) -> Float[np.ndarray, "*r"]:
        """Probability beyond one limit at a distance of `half_width`."""
        from scipy import special

        spread = np.sqrt(np.maximum(self._variance, 1e-300))
        return np.asarray(special.ndtr(-np.asarray(half_width)[..., None] / spread) @ self._weights)

    def half_width(self, tail: float) -> float:
        """The h at which that probability is `tail`; 0 where nothing varies."""
        if not self.scale:
            return 0.0
        log_scale, log_span = math.log(self.scale), math.log(SPAN)

        def beyond(log_h: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
            return self.tail_probability(np.exp(log_h)) - tail

        return math.exp(find_decreasing_root(beyond, log_scale - log_span, log_scale + log_span))

    def run_half_width_squared(
        self, half_width: float | Float[np.ndarray, " r"], tail: float | Float[np.ndarray, " r"]
    ) -> float | Float[np.ndarray, " r"]:
        """Squares of the half-widths that the runs add to those of the images."""
        from scipy import special

        return np.maximum(0.0, half_width**2 - special.ndtri(tail) ** 2 * self.image_variance)
