"""What every layer of a network loses, from the numbers of the probe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from cnnshift.probe.floor import Floor
from cnnshift.probe.layer import Layer
from cnnshift.results.explanation import LayerRecord, Loss

_JUMP = 3
"""A layer loses fractions of a pixel if it multiplies the error of the layer before it by more than this."""


def diagnose(layers: Sequence[Layer], floor: Floor) -> list[LayerRecord]:
    """The layers as a file holds them, each with what it loses.

    A layer that can be taken out of the network answers for itself alone. One that cannot (its map has not the
    size that its stride leaves) answers for what it is the first to show.
    """
    records: list[LayerRecord] = []
    before: Layer | None = None
    for layer in layers:
        found = _lost_alone(layer, floor, records) if layer.own else _first_seen(layer, before, floor)
        answered = {loss for index in layer.through for loss in records[index].lost}
        # What a vector inherits from maps on the way to it is their doing.
        lost: list[Loss] = [loss for loss in found if loss not in answered and not (loss == "place" and answered)]
        earlier = {loss for record in records for loss in record.lost}
        if not lost and earlier.isdisjoint({"samples", "fractions"}) and _loses_fractions(layer, before, floor):
            lost.append("fractions")
        records.append(_record(layer, lost))
        before = layer if layer.is_map and layer.stride is not None else before
    return _without_artefacts(records, layers, floor)


def _without_artefacts(records: list[LayerRecord], layers: Sequence[Layer], floor: Floor) -> list[LayerRecord]:
    """Without what a later map shows to have been none: a margin alone (a padding that wraps) is no torus by itself."""
    exact = [
        index
        for index, layer in enumerate(layers)
        if layer.is_map and layer.stride is not None and _worst(layer, "error", multiples=True) <= floor.whole_tolerance
    ]
    last = max(exact, default=-1)
    return [
        record.model_copy(update={"lost": [loss for loss in record.lost if loss not in ("border", "position")]})
        if index < last
        else record
        for index, record in enumerate(records)
    ]


def _lost_alone(layer: Layer, floor: Floor, records: Sequence[LayerRecord]) -> list[Loss]:
    own = layer.own
    assert own is not None
    lost: list[Loss] = []
    if own.between > floor.whole_tolerance:
        lost.append("samples")
    if own.error > floor.whole_tolerance:
        if not layer.is_map:
            lost.append("place")
        elif own.at_border is None:
            # The border is everywhere: what layers of its kind lost where it was not.
            kind = [loss for record in records if record.kind == layer.step.kind for loss in record.lost]
            lost.append("position" if "position" in kind else "border")
        else:
            lost.append("border" if own.at_border else "position")
    return lost


def _first_seen(layer: Layer, before: Layer | None, floor: Floor) -> list[Loss]:
    """Of a layer that cannot be taken out of the network: what it is the first to show."""
    if not layer.is_map or layer.stride is None:
        return []
    lost: list[Loss] = []
    coarser = before.stride if before is not None and before.stride is not None else Fraction(1)
    if layer.stride > coarser and _worst(layer, "aligned", multiples=False) > floor.whole_tolerance:
        lost.append("samples")
    then = 0.0 if before is None else _worst(before, "error", multiples=True)
    if _worst(layer, "error", multiples=True) > floor.whole_tolerance >= then:
        inside = _worst(layer, "inside", multiples=True)
        lost.append("border" if inside <= floor.whole_tolerance else "position")
    return lost


def _worst(layer: Layer, values: str, *, multiples: bool) -> float:
    """The largest of some values at whole shifts that are, or are not, multiples of the period; 0 if there are none."""
    whole = [
        float(value)
        for size, value in zip(layer.profile.size, getattr(layer.profile, values), strict=True)
        if size >= 1 and ((Fraction(int(size)) / layer.period).denominator == 1) == multiples
    ]
    return max((value for value in whole if not math.isnan(value)), default=0.0)


def _subpixel(layer: Layer) -> float:
    values = layer.profile.error[layer.profile.size < 1]
    return 0.0 if np.isnan(values).all() else float(np.nanmax(values))


def _loses_fractions(layer: Layer, before: Layer | None, floor: Floor) -> bool:
    then = floor.subpixel_tolerance if before is None else max(floor.subpixel_tolerance, _subpixel(before))
    return layer.is_map and _subpixel(layer) > _JUMP * then


def _record(layer: Layer, lost: list[Loss]) -> LayerRecord:
    own, profile = layer.own, layer.profile
    return LayerRecord(
        name=layer.step.name,
        kind=layer.step.kind,
        place=layer.step.place,
        shape=list(layer.step.shape),
        stride=None if layer.stride is None else str(layer.stride),
        period=str(layer.period),
        is_map=layer.is_map,
        lost=lost,
        own_error=_finite([own.error])[0] if own else None,
        own_at_border=own.at_border if own else None,
        own_between=_finite([own.between])[0] if own else None,
        size=profile.size.tolist(),
        change=_finite(profile.change),
        error=_finite(profile.error),
        inside=_finite(profile.inside),
        aligned=_finite(profile.aligned),
        eq_t=_finite(profile.decibels),
        normalized_variance=_finite([layer.normalized_variance])[0],
        lie_derivative=_finite([layer.lie_derivative])[0],
        lie_derivative_abs=_finite([layer.lie_derivative_abs])[0],
    )


def _finite(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
