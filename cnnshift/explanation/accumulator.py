"""What a layer gives, shift after shift, reduced to its profile."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from cnnshift.explanation.dependence import Dependence
from cnnshift.explanation.equivariance import eq_t, equivariance_error
from cnnshift.explanation.layer_errors import Profile
from cnnshift.explanation.periodic import align, shift_maps

Shift = tuple[float, float]


class Accumulator:
    """Errors of one layer, and the sums that its variance needs.

    Args:
        rest: what the layer gives at rest, maps [n h w c] or vectors [n e].
        depend: what its positions depend on.
        measured: whether anything is to be measured; values that are not finite are not.
    """

    def __init__(self, rest: np.ndarray, depend: Dependence, *, measured: bool = True) -> None:
        self.rest, self.depend, self.measured = rest if measured else np.zeros(rest.shape), depend, measured
        rest = self.rest
        self._mean = rest.mean(axis=0, dtype=np.float64, keepdims=True)
        self._change, self._square = np.zeros(rest.shape), np.zeros(rest.shape)
        # Of the images at rest: Σ of the mean square, Σ of the squared mean, of what deviates from their mean.
        self._total, self._between = [self._spread(rest)[0]], [0.0]
        self._rows: list[tuple[float, float, float, float, float, float]] = []

    @property
    def is_map(self) -> bool:
        """Whether the layer has positions."""
        return self.depend.rows is not None

    def add(self, d: Shift, now: np.ndarray) -> None:
        """What the layer gives at a shift d, in pixels."""
        if not self.measured:
            self._rows.append((max(d), math.nan, math.nan, math.nan, math.nan, math.nan))
            return
        expected = self._expected(d)
        error, inside, aligned, square = (math.nan,) * 4
        if expected is not None:
            error = inside = float(equivariance_error(now, expected).mean())
            square = float(((now - expected).astype(np.float64) ** 2).mean())
        if self.is_map:
            inside = math.nan
            if expected is not None and _divides(self.depend.stride, d):
                inside = self._inside((int(d[0]), int(d[1])), now, expected)
            aligned = float(equivariance_error(now, align(self.rest, now)).mean())
        change = float(equivariance_error(now, self.rest).mean())
        self._rows.append((max(d), change, error, inside, aligned, square))
        if _is_whole(d):
            # The variance is one over whole shifts, and a fraction more would not be of their kind.
            moved = now.astype(np.float64) - self.rest
            self._change += moved
            self._square += moved**2
            total, between = self._spread(now)
            self._total.append(total)
            self._between.append(between)

    def profile(self) -> Profile:
        """Means over the images and over the directions of every size."""
        table = np.array(self._rows)
        sizes = np.unique(table[:, 0])
        change, error, inside, aligned, square = (
            np.array([_mean(table[table[:, 0] == size, column]) for size in sizes]) for column in range(1, 6)
        )
        return Profile(sizes, change, error, inside, aligned, eq_t(square, float(np.ptp(self.rest))))

    def normalized_variance(self) -> float:
        """Σ over values of (variance over shifts, mean over images) / (variance over images, mean over shifts).

        Over the whole shifts and the image at rest; NaN where images do not differ.

        Source: Quiroga et al. 2021; as `cnnshift.metrics.normalized_variance` for logits.
        """
        members = len(self._total)
        over_shifts = (self._square / members - (self._change / members) ** 2).mean(axis=0).sum()
        over_images = (sum(self._total) - sum(self._between)) / members
        return float(over_shifts / over_images) if over_images > 0 else math.nan

    def _expected(self, d: Shift) -> np.ndarray | None:
        """What an equivariant layer would give; None for a map whose stride is unknown."""
        if not self.is_map:
            return self.rest
        stride = self.depend.stride
        return None if stride is None else shift_maps(self.rest, (d[0] / float(stride), d[1] / float(stride)))

    def _inside(self, d: tuple[int, int], now: np.ndarray, expected: np.ndarray) -> float:
        mask = self.depend.inside(d)
        return math.nan if mask is None else float(equivariance_error(now, expected, mask.astype(float)).mean())

    def _spread(self, now: np.ndarray) -> tuple[float, float]:
        centred = now - self._mean
        return float((centred**2).mean(axis=0).sum()), float((centred.mean(axis=0) ** 2).sum())


def _is_whole(d: Shift) -> bool:
    return all(part.is_integer() for part in d)


def _divides(stride: Fraction | None, d: Shift) -> bool:
    return stride is not None and _is_whole(d) and all((Fraction(int(part)) / stride).denominator == 1 for part in d)


def _mean(values: Float[np.ndarray, " s"]) -> float:
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if finite.size else math.nan
