"""Accumulate a layer's outputs over shifts into errors and variances."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from cnnshift.explanation.equivariance import eq_t, equivariance_error
from cnnshift.explanation.periodic import align, shift_maps
from cnnshift.explanation.receptive_field import ReceptiveField
from cnnshift.results.explanation import ErrorsByRadius, finite

Shift = tuple[float, float]


class Accumulator:
    """Errors and variances of one layer.

    Args:
        unshifted: the layer's output for the unshifted images, maps [n h w c] or vectors [n e].
        field: its receptive fields.
        measured: False for a layer that is listed without errors, because its values are not finite.
    """

    def __init__(self, unshifted: np.ndarray, field: ReceptiveField, *, measured: bool = True) -> None:
        self.field, self.measured, self.is_map = field, measured, field.rows is not None
        self.unshifted = unshifted if measured else np.zeros(unshifted.shape)
        self._mean = self.unshifted.mean(axis=0, dtype=np.float64, keepdims=True)
        self._change, self._square = np.zeros(unshifted.shape), np.zeros(unshifted.shape)
        # The squared mean of the unshifted images is 0, because values are centred on it.
        self._total, self._between = [self._spread(self.unshifted)[0]], [0.0]
        self._rows: list[tuple[float, float, float, float, float, float]] = []

    def add(self, d: Shift, moved: np.ndarray) -> None:
        """Add the layer's output for the images shifted by d, in pixels."""
        invariance = error = interior = aligned = square = math.nan
        if self.measured:
            expected, is_whole = self._expected(d), all(part.is_integer() for part in d)
            invariance = float(equivariance_error(moved, self.unshifted).mean())
            if expected is not None:
                error = float(equivariance_error(moved, expected).mean())
                square = float(((moved - expected).astype(np.float64) ** 2).mean())
                mask = self.field.interior((int(d[0]), int(d[1]))) if is_whole else None
                if not self.is_map:
                    interior = error
                elif mask is not None:
                    interior = float(equivariance_error(moved, expected, mask.astype(float)).mean())
            if self.is_map:
                aligned = float(equivariance_error(moved, align(self.unshifted, moved)).mean())
            if is_whole:
                # The variance is taken over whole-pixel shifts only.
                change = moved.astype(np.float64) - self.unshifted
                self._change += change
                self._square += change**2
                total, between = self._spread(moved)
                self._total.append(total)
                self._between.append(between)
        self._rows.append((max(d), invariance, error, interior, aligned, square))

    def by_radius(self) -> ErrorsByRadius:
        """Return the errors at every |d|∞, averaged over images and directions."""
        table = np.array(self._rows)
        radii = np.unique(table[:, 0])
        invariance, error, interior, aligned, square = (
            np.array([_mean(table[table[:, 0] == radius, column]) for radius in radii]) for column in range(1, 6)
        )
        return ErrorsByRadius(
            radius=radii.tolist(),
            invariance_error=finite(invariance),
            equivariance_error=finite(error),
            interior_error=finite(interior),
            aligned_error=finite(aligned),
            eq_t=finite(eq_t(square, float(np.ptp(self.unshifted)))),
        )

    def normalized_variance(self) -> float:
        """Compute Σ over values of (variance over shifts, mean over images) / (variance over images, mean over shifts).

        The shifts are all whole-pixel shifts and (0, 0). The result is NaN if the images do not differ.

        Source: Quiroga et al. 2021; as `cnnshift.metrics.normalized_variance` for logits.
        """
        members = len(self._total)
        over_shifts = (self._square / members - (self._change / members) ** 2).mean(axis=0).sum()
        over_images = (sum(self._total) - sum(self._between)) / members
        return float(over_shifts / over_images) if over_images > 0 else math.nan

    def _expected(self, d: Shift) -> np.ndarray | None:
        """Return the output of an equivariant layer; None for a map of unknown stride."""
        if not self.is_map:
            return self.unshifted
        stride = self.field.stride
        return None if stride is None else shift_maps(self.unshifted, (d[0] / float(stride), d[1] / float(stride)))

    def _spread(self, values: np.ndarray) -> tuple[float, float]:
        """Return Σ of the mean square and Σ of the squared mean over images, after subtracting the unshifted mean."""
        centred = values - self._mean
        return float((centred**2).mean(axis=0).sum()), float((centred.mean(axis=0) ** 2).sum())


def _mean(values: Float[np.ndarray, " s"]) -> float:
    finite_values = values[~np.isnan(values)]
    return float(finite_values.mean()) if finite_values.size else math.nan
