"""Records of an explanation: `schema` cnnshift.explanation, version 2."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Literal

import pydantic

from cnnshift.results.schema import Record, Run

Cause = Literal["aliasing", "padding", "positional weights", "spatial readout", "sub-pixel aliasing"]
"""Why a layer is not equivariant.

- aliasing: a stride drops samples without an anti-aliasing filter or an adaptive choice of the sampling grid.
- padding: the padding is not circular; the errors are confined to the border.
- positional weights: weights or embeddings depend on the position; the errors are everywhere.
- spatial readout: a vector depends on the positions of the feature map before it.
- sub-pixel aliasing: an activation creates frequencies above the Nyquist limit; only sub-pixel shifts are affected.
"""


class ErrorsByRadius(Record):
    """Errors of all layers up to one at every radius |d|∞ in pixels (⅓ and whole), means over images and directions.

    Attributes:
        invariance_error: ‖φ(T_d x) − φ(x)‖ / ‖φ(x)‖.
        equivariance_error: ‖φ(T_d x) − T_{d/s} φ(x)‖ / ‖φ(x)‖ for the stride s.
        interior_error: the same over the positions that the border cannot affect; null if there are none or the stride
            does not divide the shift.
        aligned_error: ‖φ(T_d x) − T_q φ(x)‖ / ‖φ(x)‖ for the best whole roll q of every map; null for a vector.
        eq_t: EQ-T in decibels (Karras et al. 2021); null if the error is 0.
    """

    radius: list[float]
    invariance_error: list[float | None]
    equivariance_error: list[float | None]
    interior_error: list[float | None]
    aligned_error: list[float | None]
    eq_t: list[float | None]

    def largest(self, errors: Sequence[float | None], period: Fraction, *, on_grid: bool) -> float | None:
        """Return the largest error at the whole-pixel shifts that are, or are not, multiples of `period`.

        None if none was measured.
        """
        measured = [
            error
            for radius, error in zip(self.radius, errors, strict=True)
            if radius >= 1 and error is not None and ((Fraction(radius) / period).denominator == 1) == on_grid
        ]
        return max(measured, default=None)


class LayerRecord(Record):
    """Errors of one layer and their causes.

    A shift is on-grid if it is a whole multiple of `period`. Errors are null if they are not defined or not finite.
    `isolated_*` belongs to the layer alone, the other errors to all layers up to and including it.

    Attributes:
        name: path of the module, or name of the function.
        type: class of the module, or `function`.
        location: source location of a function, such as `net.py:12`; empty for a module.
        shape: of one image's output.
        stride: cumulative, in pixels, such as 4 or 1/2; that of the last map for a vector; null if unknown.
        period: least common multiple of the strides up to this layer, in pixels.
        is_map: whether the output is a feature map or a sequence of tokens, not a vector.
        source: index of the nearest earlier layer that determines this one; -1 for the image.
        through: indices of the layers between the two.
        causes: why the layer is not equivariant; empty if it is, or if earlier layers explain its errors.
        isolated_error: largest error under rolls of the layer's input by multiples of its own stride.
        isolated_at_border: whether that error is confined to the border; null if every window reaches the border.
        isolated_off_grid_error: mean error under rolls of the input by one position, against the best whole roll.
        on_grid_error, interior_error, off_grid_error: largest errors at on-grid and at other whole-pixel shifts.
        subpixel_error: equivariance error at ⅓ px.
        normalized_variance: variance over shifts relative to that over images (Quiroga et al. 2021).
        lie_derivative: mean square of the Lie derivative (Gruver et al. 2023, equation 4).
        lie_derivative_abs: mean absolute value of the Lie derivative.
    """

    name: str
    type: str
    location: str
    shape: list[int]
    stride: str | None
    period: str
    is_map: bool
    source: int
    through: list[int]
    causes: list[Cause]
    isolated_error: float | None
    isolated_at_border: bool | None
    isolated_off_grid_error: float | None
    on_grid_error: float | None
    interior_error: float | None
    off_grid_error: float | None
    subpixel_error: float | None
    by_radius: ErrorsByRadius
    normalized_variance: float | None
    lie_derivative: float | None
    lie_derivative_abs: float | None

    @property
    def description(self) -> str:
        """Source location of a function, class of a module."""
        return self.location or self.type


class AblationScores(Record):
    """Pairwise consistency under whole-pixel circular shifts, accuracy, and sub-pixel error of one network.

    `subpixel_error` is the mean of ‖f(T_d x) − f(x)‖ / ‖f(x)‖ over images and directions for the logits f and |d|∞ = ⅓,
    by Fourier shift; null if it is not finite.
    """

    pairwise_consistency: float
    accuracy: float
    subpixel_error: float | None


class Intervention(Record):
    """Replacement of one component by an equivariant one, and its effect. All networks share recipe and seed.

    Attributes:
        component: such as stride, padding or head.
        replacement: the changed options, such as `pool=aps`.
        replaced_alone: scores with only this component replaced; null with a `reason` if it cannot be.
        kept_alone: scores with all components except this one and the activation replaced; null in the same cases.
    """

    component: str
    replacement: str
    replaced_alone: AblationScores | None = None
    kept_alone: AblationScores | None = None
    reason: str = ""


class Ablation(Record):
    """Scores of a network, and of its variants with one, all but one, and all components replaced.

    `shifts` describes the shifts of the consistency. The activation is not among "all components". A network without
    variants has no interventions.
    """

    shifts: str
    baseline: AblationScores
    all_replaced: AblationScores | None
    interventions: list[Intervention]


class Explanation(Record):
    """Equivariance errors of all layers of a network, their causes, and the stability of its predictions.

    Attributes:
        images: number of images for the layers.
        floor_whole, floor_subpixel: errors of an exactly equivariant network on the same device at the same precision,
            at whole-pixel shifts and at ⅓ px.
        tolerance_whole, tolerance_subpixel: errors up to this count as rounding.
        layers: in order of computation.
        ablation: scores of the network and of its variants.
        run: predictions under the chosen protocol and shifts.
        certificate: predictions under all circular shifts, if the network can share forward passes between shifts.
        summary: the findings as sentences.
    """

    schema_: Literal["cnnshift.explanation"] = pydantic.Field(default="cnnshift.explanation", alias="schema")
    schema_version: Literal[2] = 2
    cnnshift_version: str
    environment: dict[str, Any]
    images: int
    floor_whole: float
    floor_subpixel: float
    tolerance_whole: float
    tolerance_subpixel: float
    layers: list[LayerRecord]
    ablation: Ablation
    run: Run
    certificate: Run | None
    summary: list[str]

    def __str__(self) -> str:
        """Return the summary."""
        return "\n".join(self.summary)


def finite(values: Iterable[float]) -> list[float | None]:
    """Return the values with None for those that are not finite."""
    return [float(value) if math.isfinite(value) else None for value in values]
