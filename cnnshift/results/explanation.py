"""What an explanation says, as a document for programs: `schema` cnnshift.explanation, version 1."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import pydantic

from cnnshift.results.schema import Record, Run

Loss = Literal["samples", "border", "position", "place", "fractions"]
"""What a layer loses: what lies between its samples (a stride); equivariance at its border (a padding), or everywhere
(weights or embeddings that depend on the position); the map itself, so that places are told apart (a head); shifts by
fractions of a pixel (an activation)."""


class LayerRecord(Record):
    """A layer, in the order of computation.

    `stride` is cumulative, in pixels (a fraction such as 1/2 where a map is finer than the image), that of the last map
    for a layer without positions (`is_map` false), null where it cannot be told; `period` is the least common multiple
    of the strides so far: none of them is in the way of shifts by its multiples. `own_error`, `own_at_border` and
    `own_between` are of this layer alone, given an input that moves along exactly: under rolls by multiples of its own
    stride, whether all of that lies along the border, and under rolls by one position of its input, against the best
    whole roll of its output.

    The lists run over `size`, |d|∞ in pixels, means over images and directions: `change` is ‖φ(T_d x) − φ(x)‖ / ‖φ(x)‖,
    the error of invariance of everything up to this layer; `error` is ‖φ(T_d x) − T_d φ(x)‖ / ‖φ(x)‖, that of
    equivariance; `inside` the same where the border cannot reach (null where there is no such place, or the stride does
    not divide the shift); `aligned` against the best whole shift of the map; `eq_t` in decibels (null where the error
    is 0).
    """

    name: str
    kind: str
    place: str
    shape: list[int]
    stride: str | None
    period: str
    is_map: bool
    lost: list[Loss]
    own_error: float | None
    own_at_border: bool | None
    own_between: float | None
    size: list[float]
    change: list[float | None]
    error: list[float | None]
    inside: list[float | None]
    aligned: list[float | None]
    eq_t: list[float | None]
    normalized_variance: float | None
    lie_derivative: float | None
    lie_derivative_abs: float | None

    def worst(self, values: Sequence[float | None], *, multiples: bool) -> float | None:
        """Of values over `size`, the largest at whole shifts that are, or are not, multiples of the period.

        None where nothing was measured.
        """
        measured = [
            value
            for size, value in zip(self.size, values, strict=True)
            if size >= 1 and value is not None and self.allows(size) == multiples
        ]
        return max(measured, default=None)

    def allows(self, size: float) -> bool:
        """Whether no stride is in the way of a shift by that many pixels."""
        return (Fraction(size) / Fraction(self.period)).denominator == 1


class Behaviour(Record):
    """Pairwise consistency over whole shifts, accuracy at rest, and what a third of a pixel does to the logits.

    `subpixel` is the mean of ‖f(T_d x) − f(x)‖ / ‖f(x)‖ over images and directions, |d|∞ = ⅓, shifted by Fourier;
    null where logits are 0.
    """

    consistency: float
    accuracy: float
    subpixel: float | None


class Intervention(Record):
    """A part of the network that can be exchanged for one that does not break translation.

    `alone`: the network with this exchange only; `left`: with all other exchanges but this, so that what is missing is
    this part's doing (the activation is never among the others: without it, a network is another function altogether).
    Null, with a reason, where no such network can be built. All are trained by the same recipe from the same seed.
    """

    name: str
    change: str
    alone: Behaviour | None = None
    left: Behaviour | None = None
    reason: str = ""


class Explanation(Record):
    """Which layer of a network breaks translation, by how much, and why.

    `floor_whole` and `floor_subpixel` are the errors of an exactly equivariant network on the same device at the same
    precision; an error up to `tolerance_whole` (`tolerance_subpixel`) counts as none. `run` says how far predictions
    are stable; `certificate` is a run over all circular shifts, of a network that lets them share forward passes;
    `words` is the answer for people.
    """

    schema_: Literal["cnnshift.explanation"] = pydantic.Field(default="cnnshift.explanation", alias="schema")
    schema_version: Literal[1] = 1
    cnnshift_version: str
    environment: dict[str, Any]
    images: int
    floor_whole: float
    floor_subpixel: float
    tolerance_whole: float
    tolerance_subpixel: float
    layers: list[LayerRecord]
    as_it_is: Behaviour
    all_exchanged: Behaviour | None
    causes: list[Intervention]
    causes_shifts: str
    run: Run
    certificate: Run | None
    words: list[str]

    def __str__(self) -> str:
        """The answer for people."""
        return "\n".join(self.words)
