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

    A layer that can be taken out of the network answers for itself alone. One that cannot (two branches enter it)
    answers for what it is the first to show.
    """
    records: list[LayerRecord] = []
    before: Layer | None = None
    border_kinds: set[str] = set()
    for layer in layers:
        found = _lost_alone(layer, floor, border_kinds) if layer.own else _first_seen(layer, before, floor)
        answered = {loss for index in layer.through for loss in records[index].lost}
        lost: list[Loss] = [loss for loss in found if loss not in answered]
        earlier = {loss for record in records for loss in record.lost}
        if not lost and earlier.isdisjoint({"samples", "fractions"}) and _loses_fractions(layer, before, floor):
            lost.append("fractions")
        if "border" in lost:
            border_kinds.add(layer.step.kind)
        records.append(_record(layer, lost))
        before = layer
    return records


def _lost_alone(layer: Layer, floor: Floor, border_kinds: set[str]) -> list[Loss]:
    own = layer.own
    assert own is not None
    lost: list[Loss] = []
    if own.between > floor.whole_tolerance:
        lost.append("samples")
    if own.error > floor.whole_tolerance:
        if not layer.is_map:
            lost.append("place")
        elif own.at_border or (own.at_border is None and layer.step.kind in border_kinds):
            # On a map too small to tell, a layer of a kind that has been seen to err at its border errs there.
            lost.append("border")
        else:
            lost.append("position")
    return lost


def _first_seen(layer: Layer, before: Layer | None, floor: Floor) -> list[Loss]:
    if before is None or not (layer.is_map and before.is_map):
        return []
    lost: list[Loss] = []
    now, then = _worst(layer, "aligned", multiples=False), _worst(before, "aligned", multiples=False)
    if now > floor.whole_tolerance >= then:
        lost.append("samples")
    if _worst(layer, "error", multiples=True) > floor.whole_tolerance >= _worst(before, "error", multiples=True):
        inside = _worst(layer, "inside", multiples=True)
        lost.append("border" if inside <= floor.whole_tolerance else "position")
    return lost


def _worst(layer: Layer, values: str, *, multiples: bool) -> float:
    """The largest of some values at whole shifts that are, or are not, multiples of the stride; 0 if there are none."""
    if layer.stride is None:
        return 0.0
    whole = [(size, value) for size, value in zip(layer.profile.size, getattr(layer.profile, values), strict=True)
             if size >= 1 and ((Fraction(int(size)) / layer.stride).denominator == 1) == multiples]  # fmt: skip
    return max((float(value) for _, value in whole if not math.isnan(value)), default=0.0)


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
        is_map=layer.is_map,
        lost=lost,
        own_error=own.error if own else None,
        own_at_border=own.at_border if own else None,
        own_between=own.between if own else None,
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
