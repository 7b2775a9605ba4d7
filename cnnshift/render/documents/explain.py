"""What `cnnshift explain` says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cnnshift.render.document import Column, Document, Finding, Table, TableCell
from cnnshift.render.documents.bench_plots import bench_plots
from cnnshift.render.numbers import percent
from cnnshift.render.sparkline import sparkline
from cnnshift.results.aggregate import ContractGroup, ModelRuns
from cnnshift.results.explanation import Behaviour, Explanation, LayerRecord, Loss
from cnnshift.results.schema import Run

LOST: dict[Loss, str] = {
    "samples": "between samples",
    "border": "at the border",
    "position": "position",
    "place": "place",
    "fractions": "fractions of a pixel",
}
"""What a layer loses, as the table says it."""


def explain_document(found: Explanation) -> Document:
    """A row per layer, a row per part exchanged, and the words."""
    run = found.run
    title = (
        f"layers of {run.model}{_untrained(run)} · {run.dataset.name} · {found.images} images · errors of equivariance "
        "‖φ(T_d x) − T_d φ(x)‖ / ‖φ(x)‖ [circular]"
    )
    tables = [Table(title, _layer_columns(found), _legend(found))]
    if found.causes:
        tables.append(
            Table(
                f"parts exchanged · {run.dataset.n:,} images · pairwise consistency [{found.causes_shifts}], accuracy, "
                "change of the logits at ⅓ px · same recipe and seed",
                _cause_columns(found),
                "only: this part exchanged · all but: every other part exchanged (the activation never)",
            )
        )
    drawn = bench_plots(ContractGroup((ModelRuns(run.model, (run,)),)))
    tables[-1] = replace(tables[-1], notes=found.words, plots=drawn)
    return Document(
        name="explain",
        content=found,
        records=[record for layer in found.layers for record in _records(layer)],
        tables=tables,
        findings=list(_findings(found)),
        lines=[layer.model_dump(mode="json") for layer in found.layers],
    )


def _legend(found: Explanation) -> str:
    hidden = len(found.layers) - len(_shown(found.layers))
    return (
        "alone: this layer by itself, its input moved exactly (multiples of its stride) · multiples: all layers up to "
        "this one, shifts by multiples of all strides so far; inside: where the border cannot reach · between: "
        f"other whole shifts · bars: 1 to {_last_size(found):g} px, full = 100 %, a dot: none · errors up to "
        f"{found.tolerance_whole:.0e} are rounding (floor: {found.floor_whole:.0e} at whole shifts, "
        f"{found.floor_subpixel:.0e} at ⅓ px)"
        + (f" · not shown: {hidden} that keep the shape and lose nothing" if hidden else "")
    )


def _untrained(run: Run) -> str:
    return ", untrained" if run.training.recipe.get("epochs") == 0 else ""


def _last_size(found: Explanation) -> float:
    return max((size for layer in found.layers[:1] for size in layer.size if size <= _BARS), default=_BARS)


_BARS = 8


def _shown(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """Without what loses nothing and keeps the shape: functions between modules, and second methods of a module."""
    shown: list[LayerRecord] = []
    for index, layer in enumerate(layers):
        same = index > 0 and layer.shape == layers[index - 1].shape
        module = layer.name.rpartition(".")[0]
        minor = layer.kind == "function" or any(module == other.name for other in layers)
        if not (minor and same and not layer.lost) or index == len(layers) - 1:
            shown.append(layer)
    return shown


def _layer_columns(found: Explanation) -> list[Column]:
    layers, tolerance = _shown(found.layers), found.tolerance_whole
    shapes = [TableCell("×".join(map(str, layer.shape))) for layer in layers]
    return [
        Column("layer", [TableCell(layer.name) for layer in layers], numeric=False),
        Column("what", [TableCell(layer.place or layer.kind) for layer in layers], numeric=False),
        Column("shape", shapes, optional=True),
        Column("stride", [TableCell(layer.stride or "?") for layer in layers]),
        Column("alone", [_cell(layer.own_error, tolerance) for layer in layers]),
        Column("multiples", [_cell(layer.worst(layer.error, multiples=True), tolerance) for layer in layers]),
        Column(
            "inside",
            [_cell(layer.worst(layer.inside, multiples=True), tolerance) for layer in layers],
            optional=True,
        ),
        Column("between", [_cell(layer.worst(layer.error, multiples=False), tolerance) for layer in layers]),
        Column(
            "⅓ px",
            [_cell(layer.error[0] if layer.error else None, found.tolerance_subpixel) for layer in layers],
            optional=True,
        ),
        Column("by shift", [TableCell(_bars(layer, tolerance)) for layer in layers], numeric=False),
        Column("lost", [_lost(layer) for layer in layers], numeric=False),
    ]


def _lost(layer: LayerRecord) -> TableCell:
    words = ", ".join(LOST[loss] for loss in layer.lost)
    return TableCell(words, emphasis="bad" if words else "")


def _cell(value: float | None, tolerance: float) -> TableCell:
    if value is None:
        return TableCell("–", emphasis="dim")
    if value <= tolerance:
        return TableCell("0" if value == 0 else f"{value:.0e}", emphasis="good")
    return TableCell(_per_cent(value))


def _per_cent(value: float) -> str:
    """A ratio that may exceed 1."""
    return f"{percent(value)} %" if value <= 1 else f"{value * 100:.0f} %"


def _bars(layer: LayerRecord, tolerance: float) -> str:
    """A dot where the error is rounding, and where the stride is unknown."""
    errors = [error for size, error in zip(layer.size, layer.error, strict=True) if 1 <= size <= _BARS]
    return sparkline([None if error is None or error <= tolerance else error for error in errors], 0.0, 1.0)


def _cause_columns(found: Explanation) -> list[Column]:
    rows: list[tuple[str, str, Behaviour | None, Behaviour | None]] = [
        ("none", "as it is", found.as_it_is, None),
        *((cause.name, cause.change, cause.alone, cause.left) for cause in found.causes),
    ]
    if found.all_exchanged is not None:
        rows.append(("all", "every part but the activation", found.all_exchanged, None))

    def cells(behaviours: Sequence[Behaviour | None], field: str) -> list[TableCell]:
        values = [None if behaviour is None else getattr(behaviour, field) for behaviour in behaviours]
        return [TableCell("" if value is None else _per_cent(value)) for value in values]

    alone, left = [row[2] for row in rows], [row[3] for row in rows]
    return [
        Column("part", [TableCell(row[0]) for row in rows], numeric=False),
        Column("exchanged for", [TableCell(row[1]) for row in rows], numeric=False),
        Column("consistency [only]", cells(alone, "consistency")),
        Column("accuracy [only]", cells(alone, "accuracy")),
        Column("⅓ px [only]", cells(alone, "subpixel"), optional=True),
        Column("consistency [all but]", cells(left, "consistency")),
        Column("accuracy [all but]", cells(left, "accuracy")),
    ]


def _records(layer: LayerRecord) -> Iterator[dict[str, Any]]:
    for index, size in enumerate(layer.size):
        yield {
            "layer": layer.name,
            "kind": layer.kind,
            "place": layer.place,
            "stride": layer.stride,
            "lost": " ".join(layer.lost),
            "own_error": layer.own_error,
            "shift": size,
            "change": layer.change[index],
            "error": layer.error[index],
            "inside": layer.inside[index],
            "aligned": layer.aligned[index],
            "eq_t": layer.eq_t[index],
            "normalized_variance": layer.normalized_variance,
            "lie_derivative": layer.lie_derivative,
            "lie_derivative_abs": layer.lie_derivative_abs,
        }


def _findings(found: Explanation) -> Iterator[Finding]:
    for layer in found.layers:
        if layer.lost:
            lost = ", ".join(LOST[loss] for loss in layer.lost)
            yield Finding("notice", found.run.model, layer.name, f"{layer.place or layer.kind}: loses {lost}.")
    for sentence in found.words:
        name, _, rest = sentence.partition(": ")
        yield Finding("notice", found.run.model, name, rest or sentence)
