"""Variance of a mean over images and training runs, which are crossed random effects.

`seeds` has the model and the notation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from cnnshift.array_types import Float
from cnnshift.stats.inversion import find_decreasing_root

# The expectation over C is a weighted sum over its quantiles at equally spaced log odds.
_LOG_ODDS = np.linspace(-32.0, 32.0, 81)
_PROBABILITIES = 1 / (1 + np.exp(-_LOG_ODDS))
_WEIGHTS = _PROBABILITIES * _PROBABILITIES[::-1] / (_PROBABILITIES @ _PROBABILITIES[::-1])
# Half-widths are searched within this factor of the standard error.
_MAX_RATIO = 1e9


@dataclass(frozen=True, slots=True)
class MeanSquares:
    """Mean squares of a two-way table of m runs and n images.

    Attributes:
        m: number of runs.
        between_seeds: MS_S, n times the variance of the means of the runs.
        residual: MS_E, the mean square of the interaction.
    """

    m: int
    between_seeds: float
    residual: float


def mean_squares(table: Float[np.ndarray, "m n"]) -> MeanSquares:
    """Return the mean squares of a table with m ≥ 2 runs and n ≥ 2 images (two-way analysis of variance)."""
    m, n = table.shape
    runs, images = table.mean(axis=1, keepdims=True), table.mean(axis=0)
    residuals = table - runs - images + table.mean()
    return MeanSquares(m, n * float(runs.var(ddof=1)), float((residuals**2).sum()) / ((m - 1) * (n - 1)))


@cache
def _chi_squares(degrees: int) -> Float[np.ndarray, " q"]:
    """Return the quantiles of χ² at `_PROBABILITIES`."""
    from scipy import special

    quantiles = 2 * special.gammaincinv(degrees / 2, _PROBABILITIES)
    quantiles.setflags(write=False)
    return quantiles


class VariancePivot:
    """Generalized pivotal quantity V(C) of the variance of a grand mean, and the half-widths that follow from it.

    V(C) = V_I + Σ over groups of max(0, (m − 1) MS_S / C − MS_E) / (m n), with an independent C ~ χ² with m − 1 degrees
    of freedom per group: one group of paired runs, or two.

    Attributes:
        image_variance: V_I.
        scale: standard error of the mean with C at its degrees of freedom and without subtracting MS_E.
    """

    def __init__(self, image_variance: float, groups: list[MeanSquares], n: int) -> None:
        self.image_variance = image_variance
        self._variance, self._weights = np.full(1, image_variance), np.ones(1)
        for group in groups:
            between = (group.m - 1) * group.between_seeds / _chi_squares(group.m - 1)
            excess = np.maximum(0.0, between - group.residual) / (n * group.m)
            self._variance = np.add.outer(self._variance, excess).ravel()
            self._weights = np.multiply.outer(self._weights, _WEIGHTS).ravel()
        self.scale = math.sqrt(image_variance + sum(group.between_seeds / (n * group.m) for group in groups))

    @property
    def log_range(self) -> tuple[float, float]:
        """Logarithms of the half-widths between which roots are searched."""
        return math.log(self.scale / _MAX_RATIO), math.log(self.scale * _MAX_RATIO)

    def tail_probability(self, half_width: float | Float[np.ndarray, " r"]) -> Float[np.ndarray, "*r"]:
        """Return E[Φ(−h / √V(C))], the probability beyond each limit for half-widths h."""
        from scipy import special

        error = np.sqrt(np.maximum(self._variance, 1e-300))
        return np.asarray(special.ndtr(-np.asarray(half_width)[..., None] / error) @ self._weights)

    def half_width(self, tail: float) -> float:
        """Return the h with this tail probability; 0 if nothing varies, infinity if h exceeds 1e9 standard errors."""
        if not self.scale:
            return 0.0
        return math.exp(find_decreasing_root(lambda x: self.tail_probability(np.exp(x)) - tail, *self.log_range))

    def run_half_width_squared(
        self, half_width: float | Float[np.ndarray, " r"], tail: float | Float[np.ndarray, " r"]
    ) -> float | Float[np.ndarray, " r"]:
        """Return h_S² = max(0, h² − z² V_I), which the runs add to the squared half-width over images."""
        from scipy import special

        return np.maximum(0.0, half_width**2 - special.ndtri(tail) ** 2 * self.image_variance)
