"""Assign causes to the layers of a network from their errors."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from cnnshift.explanation.floor import Floor
from cnnshift.results.explanation import Cause, LayerRecord


def diagnose(layers: Sequence[LayerRecord], floor: Floor) -> list[LayerRecord]:
    """Return the layers with their causes.

    The causes of a layer follow from its isolated errors. If these were not measured, because its map does not have the
    size that its stride implies, the causes follow from the errors that no earlier layer has.
    """
    records: list[LayerRecord] = []
    before: LayerRecord | None = None
    for layer in layers:
        is_isolated = layer.isolated_error is not None
        candidates = _isolated_causes(layer, floor, records) if is_isolated else _new_causes(layer, before, floor)
        inner = {cause for index in layer.through for cause in records[index].causes}
        # Errors of the maps between the source and a vector are caused by these maps, not by the readout.
        causes = [cause for cause in candidates if cause not in inner and not (cause == "spatial readout" and inner)]
        earlier = {cause for record in records for cause in record.causes}
        if not causes and earlier.isdisjoint({"aliasing", "sub-pixel aliasing"}) and _grows(layer, before, floor):
            causes.append("sub-pixel aliasing")
        records.append(layer.model_copy(update={"causes": causes}))
        if layer.is_map and layer.stride is not None:
            before = layer
    return _without_compensated(records, floor)


def _without_compensated(records: list[LayerRecord], floor: Floor) -> list[LayerRecord]:
    """Remove the causes that a later map disproves, from the layers that determine that map.

    The output of a separate layer for circular padding is not periodic, but that of the next convolution is. A stride
    causes no aliasing if the sampling grid is selected by content, so that the map moves by whole positions. Parallel
    branches are not affected.
    """
    disproved: dict[Cause, set[int]] = {"padding": set(), "positional weights": set(), "aliasing": set()}
    for index, record in enumerate(records):
        if not record.is_map or record.stride is None:
            continue
        path, aligned = _path_to(records, index), _aligned_error(record)
        if record.on_grid_error is not None and record.on_grid_error <= floor.whole_tolerance:
            disproved["padding"] |= path - {index}
            disproved["positional weights"] |= path - {index}
        if aligned is not None and aligned <= floor.whole_tolerance:
            disproved["aliasing"] |= path
    return [
        record.model_copy(update={"causes": [c for c in record.causes if index not in disproved.get(c, ())]})
        for index, record in enumerate(records)
    ]


def _path_to(records: Sequence[LayerRecord], index: int) -> set[int]:
    path: set[int] = set()
    while index >= 0:
        path.add(index)
        index = records[index].source
    return path


def _aligned_error(record: LayerRecord) -> float | None:
    errors = record.by_radius
    return errors.largest(errors.aligned_error, Fraction(record.period), on_grid=False)


def _isolated_causes(record: LayerRecord, floor: Floor, earlier: Sequence[LayerRecord]) -> list[Cause]:
    causes: list[Cause] = []
    if (record.isolated_off_grid_error or 0.0) > floor.whole_tolerance:
        causes.append("aliasing")
    if (record.isolated_error or 0.0) > floor.whole_tolerance:
        if not record.is_map:
            causes.append("spatial readout")
        elif record.isolated_at_border is None:
            # Every window reaches the border: assume the cause of earlier layers of the same type.
            same_type = {cause for other in earlier if other.type == record.type for cause in other.causes}
            causes.append("positional weights" if "positional weights" in same_type else "padding")
        else:
            causes.append("padding" if record.isolated_at_border else "positional weights")
    return causes


def _new_causes(record: LayerRecord, before: LayerRecord | None, floor: Floor) -> list[Cause]:
    """Return the causes of the errors of a layer without isolated errors that no earlier layer has."""
    if not record.is_map or record.stride is None:
        return []
    causes: list[Cause] = []
    stride_before = Fraction(1) if before is None else Fraction(before.stride or 1)
    if Fraction(record.stride) > stride_before and (_aligned_error(record) or 0.0) > floor.whole_tolerance:
        causes.append("aliasing")
    error_before = 0.0 if before is None else before.on_grid_error or 0.0
    if (record.on_grid_error or 0.0) > floor.whole_tolerance >= error_before:
        at_border = (record.interior_error or 0.0) <= floor.whole_tolerance
        causes.append("padding" if at_border else "positional weights")
    return causes


def _grows(record: LayerRecord, before: LayerRecord | None, floor: Floor) -> bool:
    """Return whether the sub-pixel error of a map exceeds 3 times that of the map before it and the tolerance."""
    error_before = 0.0 if before is None else before.subpixel_error or 0.0
    return record.is_map and (record.subpixel_error or 0.0) > 3 * max(floor.subpixel_tolerance, error_before)
