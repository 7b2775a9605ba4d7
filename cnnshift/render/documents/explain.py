"""The document of `cnnshift explain`: a row per layer, a row per replaced component, and the summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from cnnshift.render.document import Column, Document, Finding, Table, TableCell
from cnnshift.render.documents.bench_plots import bench_plots
from cnnshift.render.numbers import percent
from cnnshift.render.sparkline import sparkline
from cnnshift.results.aggregate import ContractGroup, ModelRuns
from cnnshift.results.explanation import AblationScores, Explanation, Intervention, LayerRecord

# Largest shift of the bars, in pixels.
_MAX_BAR = 8


def explain_document(explanation: Explanation) -> Document:
    """Return the tables of layers and replaced components, and the summary."""
    run, ablation = explanation.run, explanation.ablation
    untrained = ", untrained" if run.training.recipe.get("epochs") == 0 else ""
    title = (
        f"layers of {run.model}{untrained} · {run.dataset.name} · equivariance errors "
        f"‖φ(T_d x) − T_d φ(x)‖ / ‖φ(x)‖ [circular, {explanation.images} images]"
    )
    tables = [Table(title, _layer_columns(explanation), _legend(explanation))]
    if ablation.interventions:
        tables.append(
            Table(
                f"ablation of {run.model} · pairwise consistency, accuracy and sub-pixel error of the logits "
                f"[{ablation.shifts}, {run.dataset.n:,} images, same recipe and seed]",
                _ablation_columns(explanation),
                "replaced alone: only this component is replaced · kept alone: all other components except the "
                "activation are replaced",
            )
        )
    plots = bench_plots(ContractGroup((ModelRuns(run.model, (run,)),)))
    tables[-1] = replace(tables[-1], notes=explanation.summary, plots=plots)
    return Document(
        name="explain",
        content=explanation,
        records=[record for layer in explanation.layers for record in _records(layer)],
        tables=tables,
        findings=list(_findings(explanation)),
        lines=[layer.model_dump(mode="json") for layer in explanation.layers],
    )


def _legend(explanation: Explanation) -> str:
    hidden = len(explanation.layers) - len(_shown(explanation.layers))
    largest = max((r for layer in explanation.layers[:1] for r in layer.by_radius.radius if r <= _MAX_BAR), default=0)
    return (
        "isolated: this layer alone, its input rolled by multiples of its stride · other errors: all layers up to this "
        "one · on-grid: shifts by multiples of all strides so far · interior: on-grid, positions that the border "
        "cannot affect · off-grid: other whole-pixel shifts · sub-pixel: ⅓ px · error by shift: "
        f"1 to {largest:g} px, bars from 0 to 100 %, a dot marks rounding error · errors up to "
        f"{explanation.tolerance_whole:.0e} are rounding (numerical floor: {_rounding(explanation.floor_whole)} at "
        f"whole-pixel shifts, {_rounding(explanation.floor_subpixel)} at ⅓ px)"
        + (f" · {hidden} equivariant functions that keep the shape are not shown" if hidden else "")
    )


def _shown(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """Return the layers without functions and secondary methods that keep the shape and have no cause."""
    names = {layer.name for layer in layers}
    shown = list(layers[:1])
    for before, layer in pairwise(layers):
        minor = layer.type == "function" or layer.name.rpartition(".")[0] in names
        if not minor or layer.shape != before.shape or layer.causes or layer is layers[-1]:
            shown.append(layer)
    return shown


def _layer_columns(explanation: Explanation) -> list[Column]:
    layers, tolerance = _shown(explanation.layers), explanation.tolerance_whole

    def errors(name: str, tolerance: float = tolerance) -> list[TableCell]:
        return [_error_cell(getattr(layer, name), tolerance) for layer in layers]

    return [
        Column("layer", [TableCell(layer.name) for layer in layers], numeric=False),
        Column("type", [TableCell(layer.description) for layer in layers], numeric=False),
        Column("shape", [TableCell("×".join(map(str, layer.shape))) for layer in layers], optional=True),
        Column("stride", [TableCell(layer.stride or "?") for layer in layers]),
        Column("isolated error", errors("isolated_error")),
        Column("on-grid error", errors("on_grid_error")),
        Column("interior error", errors("interior_error"), optional=True),
        Column("off-grid error", errors("off_grid_error")),
        Column("sub-pixel error", errors("subpixel_error", explanation.tolerance_subpixel), optional=True),
        Column("error by shift", [TableCell(_bars(layer, tolerance)) for layer in layers], numeric=False),
        Column("cause", [TableCell(", ".join(layer.causes), emphasis="bad") for layer in layers], numeric=False),
    ]


def _error_cell(value: float | None, tolerance: float) -> TableCell:
    if value is None:
        return TableCell("–", emphasis="dim")
    if value <= tolerance:
        return TableCell(_rounding(value), emphasis="good")
    return TableCell(_percent(value))


def _rounding(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"


def _percent(value: float) -> str:
    """Format a ratio that may exceed 1."""
    return f"{percent(value)} %" if value <= 1 else f"{value * 100:.0f} %"


def _bars(layer: LayerRecord, tolerance: float) -> str:
    errors = layer.by_radius
    shown = [e for r, e in zip(errors.radius, errors.equivariance_error, strict=True) if 1 <= r <= _MAX_BAR]
    return sparkline([None if error is None or error <= tolerance else error for error in shown], 0.0, 1.0)


def _ablation_columns(explanation: Explanation) -> list[Column]:
    ablation = explanation.ablation
    rows = [Intervention(component="none", replacement="", replaced_alone=ablation.baseline), *ablation.interventions]
    if scores := ablation.all_replaced:
        text = "all of these except the activation"
        rows.append(Intervention(component="all", replacement=text, replaced_alone=scores))

    def cells(scores: Sequence[AblationScores | None], field: str) -> list[TableCell]:
        values = [getattr(each, field, None) for each in scores]
        return [TableCell("" if value is None else _percent(value)) for value in values]

    replaced, kept = [row.replaced_alone for row in rows], [row.kept_alone for row in rows]
    return [
        Column("component", [TableCell(row.component) for row in rows], numeric=False),
        Column("replacement", [TableCell(row.replacement) for row in rows], numeric=False),
        Column("consistency [replaced alone]", cells(replaced, "pairwise_consistency")),
        Column("accuracy [replaced alone]", cells(replaced, "accuracy")),
        Column("sub-pixel error [replaced alone]", cells(replaced, "subpixel_error"), optional=True),
        Column("consistency [kept alone]", cells(kept, "pairwise_consistency")),
        Column("accuracy [kept alone]", cells(kept, "accuracy")),
    ]


def _records(layer: LayerRecord) -> Iterator[dict[str, Any]]:
    """Return a row per radius, with the values of the layer repeated."""
    values = layer.model_dump(mode="json", exclude={"by_radius", "shape", "source", "through"})
    values["causes"] = ", ".join(layer.causes)
    errors = layer.by_radius.model_dump(mode="json")
    for index in range(len(layer.by_radius.radius)):
        yield values | {name: column[index] for name, column in errors.items()}


def _findings(explanation: Explanation) -> Iterator[Finding]:
    model = explanation.run.model
    for layer in explanation.layers:
        if layer.causes:
            yield Finding("notice", model, layer.name, f"{layer.description}: {', '.join(layer.causes)}.")
    for sentence in explanation.summary:
        name, _, rest = sentence.partition(": ")
        yield Finding("notice", model, name, rest or sentence)
