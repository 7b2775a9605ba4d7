"""What a probe finds out about one layer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from cnnshift.explanation.capture import Step


@dataclass(frozen=True, slots=True)
class Profile:
    """A layer's errors by the size of the shift, means over images and directions.

    Attributes:
        size: |d|∞ in pixels, ascending.
        change: ‖φ(T_d x) − φ(x)‖ / ‖φ(x)‖, 0 for an invariant layer.
        error: `equivariance_error` over all positions.
        inside: the same over the positions that the border cannot reach; NaN where there are none, or where the
            stride does not divide the shift.
        aligned: the same over all positions against the whole shift of the map that fits best, image by image: 0 where
            an adaptive choice lets a map jump by whole positions. NaN for a layer without positions.
        decibels: `eq_t`.
    """

    size: Float[np.ndarray, " d"]
    change: Float[np.ndarray, " d"]
    error: Float[np.ndarray, " d"]
    inside: Float[np.ndarray, " d"]
    aligned: Float[np.ndarray, " d"]
    decibels: Float[np.ndarray, " d"]


@dataclass(frozen=True, slots=True)
class Own:
    """What a layer does wrong by itself, given its input rolled by whole positions.

    Attributes:
        error: largest `equivariance_error` under rolls by multiples of its own stride.
        at_border: whether all of it lies as near to the border as its window reaches; None where there is no error, or
            the border is everywhere.
        between: mean error under rolls by one position against the best whole roll of the output; 0 at own stride 1.
    """

    error: float
    at_border: bool | None
    between: float


@dataclass(frozen=True, slots=True)
class Layer:
    """What the probe found about one layer.

    Attributes:
        step: which one it is.
        stride: cumulative, in pixels; that of the last map before it for a layer without positions; None where it
            cannot be told.
        period: the least common multiple of the strides so far, in pixels: none of them is in the way of shifts by its
            multiples.
        is_map: whether it has positions.
        profile: errors by size of the shift, of everything up to this layer.
        source: index of a layer through which everything passes that it sees of the image; -1 for the image itself.
        through: indices of the layers between the two.
        own: errors of this layer alone; None where it cannot be taken out of the network.
        normalized_variance: variance over whole shifts relative to that over images (Quiroga et al. 2021), of the
            layer's own values, summed over positions and channels; NaN where images do not differ.
        lie_derivative: mean square, as in Gruver et al. 2023, equation 4; NaN for a map whose stride is unknown.
        lie_derivative_abs: mean size.
    """

    step: Step
    stride: Fraction | None
    period: Fraction
    is_map: bool
    profile: Profile
    source: int
    through: tuple[int, ...]
    own: Own | None
    normalized_variance: float
    lie_derivative: float
    lie_derivative_abs: float
