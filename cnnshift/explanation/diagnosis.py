"""What every layer of a network loses, from the numbers of the probe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from cnnshift.explanation.floor import Floor
from cnnshift.explanation.layer_errors import Layer
from cnnshift.results.explanation import LayerRecord, Loss

_JUMP = 3
"""A layer loses fractions of a pixel if it multiplies the error of the layer before it by more than this."""


def diagnose(layers: Sequence[Layer], floor: Floor) -> list[LayerRecord]:
    """The layers as a file holds them, each with what it loses.

    A layer that can be taken out of the network answers for itself alone. One that cannot (its map has not the
    size that its stride leaves) answers for what it is the first to show.
    """
    records: list[LayerRecord] = []
    before: LayerRecord | None = None
    for layer in layers:
        record = _record(layer)
        alone = record.own_error is not None
        found = _lost_alone(record, floor, records) if alone else _first_seen(record, before, floor)
        answered = {loss for index in layer.through for loss in records[index].lost}
        # What a vector inherits from maps on the way to it is their doing.
        lost: list[Loss] = [loss for loss in found if loss not in answered and not (loss == "place" and answered)]
        earlier = {loss for each in records for loss in each.lost}
        if not lost and earlier.isdisjoint({"samples", "fractions"}) and _loses_fractions(record, before, floor):
            lost.append("fractions")
        records.append(record.model_copy(update={"lost": lost}))
        if record.is_map and record.stride is not None:
            before = record
    return _without_artefacts(records, layers, floor)


def _without_artefacts(records: list[LayerRecord], layers: Sequence[Layer], floor: Floor) -> list[LayerRecord]:
    """Without what a later map shows to have been none, of the layers that all passes through on its way to that map.

    A margin alone (a padding that wraps) is no torus by itself, and a stride loses nothing where what it starts at is
    chosen by content, so that its map jumps by whole positions. What is beside that way is not cleared by it.
    """
    cleared: dict[Loss, set[int]] = {"border": set(), "position": set(), "samples": set()}
    for index, record in enumerate(records):
        if not record.is_map or record.stride is None:
            continue
        error, jump = record.worst(record.error, multiples=True), record.worst(record.aligned, multiples=False)
        way = _way_to(layers, index)
        if error is not None and error <= floor.whole_tolerance:
            cleared["border"] |= way - {index}
            cleared["position"] |= way - {index}
        if jump is not None and jump <= floor.whole_tolerance:
            cleared["samples"] |= way
    return [
        record.model_copy(update={"lost": [loss for loss in record.lost if index not in cleared.get(loss, ())]})
        for index, record in enumerate(records)
    ]


def _way_to(layers: Sequence[Layer], index: int) -> set[int]:
    """A layer, and those through which everything passes that it sees of the image."""
    way: set[int] = set()
    while index >= 0:
        way.add(index)
        index = layers[index].source
    return way


def _lost_alone(record: LayerRecord, floor: Floor, records: Sequence[LayerRecord]) -> list[Loss]:
    lost: list[Loss] = []
    if (record.own_between or 0.0) > floor.whole_tolerance:
        lost.append("samples")
    if (record.own_error or 0.0) > floor.whole_tolerance:
        if not record.is_map:
            lost.append("place")
        elif record.own_at_border is None:
            # The border is everywhere: what layers of its kind lost where it was not.
            kind = [loss for each in records if each.kind == record.kind for loss in each.lost]
            lost.append("position" if "position" in kind else "border")
        else:
            lost.append("border" if record.own_at_border else "position")
    return lost


def _first_seen(record: LayerRecord, before: LayerRecord | None, floor: Floor) -> list[Loss]:
    """Of a layer that cannot be taken out of the network: what it is the first to show."""
    if not record.is_map or record.stride is None:
        return []
    lost: list[Loss] = []
    coarser = Fraction(1) if before is None else Fraction(before.stride or 1)
    between = record.worst(record.aligned, multiples=False)
    if Fraction(record.stride) > coarser and (between or 0.0) > floor.whole_tolerance:
        lost.append("samples")
    then = 0.0 if before is None else _at_multiples(before, before.error)
    if _at_multiples(record, record.error) > floor.whole_tolerance >= then:
        lost.append("border" if _at_multiples(record, record.inside) <= floor.whole_tolerance else "position")
    return lost


def _at_multiples(record: LayerRecord, values: Sequence[float | None]) -> float:
    return record.worst(values, multiples=True) or 0.0


def _subpixel(record: LayerRecord) -> float:
    values = [error for size, error in zip(record.size, record.error, strict=True) if size < 1 and error is not None]
    return max(values, default=0.0)


def _loses_fractions(record: LayerRecord, before: LayerRecord | None, floor: Floor) -> bool:
    then = floor.subpixel_tolerance if before is None else max(floor.subpixel_tolerance, _subpixel(before))
    return record.is_map and _subpixel(record) > _JUMP * then


def _record(layer: Layer) -> LayerRecord:
    own, profile = layer.own, layer.profile
    return LayerRecord(
        name=layer.step.name,
        kind=layer.step.kind,
        place=layer.step.place,
        shape=list(layer.step.shape),
        stride=None if layer.stride is None else str(layer.stride),
        period=str(layer.period),
        is_map=layer.is_map,
        lost=[],
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
