"""The document of `cnnshift bench`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnnshift.config import HEADLINE_METRICS
from cnnshift.pixel_length import format_length, serialize_length
from cnnshift.render.document import Column, Document, Finding, Table, TableCell
from cnnshift.render.documents.bench_plots import bench_plots
from cnnshift.render.documents.bench_summary import summarize
from cnnshift.render.numbers import (
    UNIT_SUFFIXES,
    format_count,
    format_interval,
    format_value,
    format_with_unit,
    percent,
)
from cnnshift.render.sparkline import sparkline, thin_out
from cnnshift.results.aggregate import ContractGroup, group_by_contract, seed_mean
from cnnshift.results.schema import Result, Run

_MAX_BARS = 16


def bench_document(result: Result, *, plots: bool | None = None) -> Document:
    """Return a document with one table per protocol and one row per model.

    Args:
        result: the measured runs.
        plots: whether to draw maps and curves below the tables; by default only for a single model.
    """
    groups = group_by_contract(result)
    if plots is None:
        plots = len({run.model for run in result.runs}) == 1
    per_image: Any = {"predictions": True, "metrics": {"__all__": {"per_image"}}}
    return Document(
        name="bench",
        content=result,
        records=[record for run in result.runs for record in _records(run)],
        tables=[_table(group, result.config.get("metrics") or (), plots=plots) for group in groups],
        header=[] if groups else ["No run was finished."],
        findings=[finding for run in result.runs for finding in _findings(run)],
        lines=[run.model_dump(mode="json", exclude=per_image) for run in result.runs],
    )


def _table(group: ContractGroup, selected: Sequence[str], *, plots: bool) -> Table:
    no_map = group.example.by_shift.reason if plots else ""
    legend = [
        "[low, high]: 95 % confidence interval over images",
        *(["±: standard deviation over training runs"] if _seeds(group) > 1 else []),
        "* best value of the column",
        "bars: 0 to 100 %",
        *([f"no map: {no_map}"] if no_map else []),
    ]
    return Table(
        _title(group),
        _columns(group, selected),
        " · ".join(legend),
        summarize(group),
        bench_plots(group) if plots else (),
    )


def _columns(group: ContractGroup, selected: Sequence[str]) -> list[Column]:
    """Return model, the selected or headline metrics with intervals, accuracy by radius, parameters and speed."""
    computed = [metric.id for metric in group.example.metrics]
    metrics = [id for id in selected or HEADLINE_METRICS if id in computed] or computed
    columns = [Column("model", [TableCell(model.model) for model in group.models], numeric=False)]
    columns += [_metric_column(group, id) for id in metrics]
    radii = group.example.by_radius.radius
    if len(radii) > 1 and {"accuracy", "shifted_accuracy"} & set(metrics):
        curves = [np.mean([run.by_radius.accuracy for run in model.runs], axis=0) for model in group.models]
        heading = f"accuracy at |d| = {format_length(radii[0])} … {format_length(radii[-1])}"
        indices = thin_out(len(radii), _MAX_BARS)
        cells = [TableCell(sparkline(curve[indices].tolist(), 0.0, 1.0)) for curve in curves]
        columns.append(Column(heading, cells, numeric=False))
    columns.append(_count_column("params", [model.runs[0].params for model in group.models]))
    speeds = [float(np.mean([run.timing.images_per_second for run in model.runs])) for model in group.models]
    columns.append(_count_column("images/s", speeds))
    return columns


def _metric_column(group: ContractGroup, id: str) -> Column:
    metric = group.example.metric(id)
    assert metric is not None
    means = [seed_mean(model.runs, id) for model in group.models]
    values = {mean.value for mean in means if mean}
    best = (max(values) if metric.higher_is_better else min(values)) if len(values) > 1 else None
    cells = []
    for mean in means:
        if mean is None:
            cells.append(TableCell("–"))
            continue
        detail = format_interval(mean.ci95, metric.unit)
        if mean.seed_sd is not None:
            detail += f" ±{format_value(mean.seed_sd, metric.unit)}"
        cells.append(TableCell(format_value(mean.value, metric.unit), detail.strip(), best=mean.value == best))
    # Accuracy is measured without shifts.
    protocol = "" if id == "accuracy" else f" [{group.example.protocol.label}]"
    return Column(f"{metric.title}{UNIT_SUFFIXES[metric.unit]}{protocol}", cells)


def _count_column(heading: str, values: Sequence[int | float | None]) -> Column:
    return Column(heading, [TableCell(format_count(value)) for value in values], optional=True)


def _title(group: ContractGroup) -> str:
    """Return data set, images, shifts and protocol of a table."""
    run, seeds = group.example, _seeds(group)
    images = f"{run.dataset.n:,} test images × {run.protocol.count:,} shifts [{run.protocol.label}]"
    parts = [run.dataset.name, images]
    if not run.protocol.wraps:
        parts.append(f"{percent(run.protocol.information_loss)} % of the foreground energy lost")
    untrained = all(run.training.recipe.get("epochs") == 0 for model in group.models for run in model.runs)
    if untrained:
        parts.append("untrained models")
    if seeds > 1:
        parts.append(f"mean of {seeds} {'seeds' if untrained else 'training runs'}")
    return " · ".join(parts)


def _seeds(group: ContractGroup) -> int:
    return max(len(model.runs) for model in group.models)


def _records(run: Run) -> Iterator[dict[str, Any]]:
    recipe = run.training.recipe
    for metric in run.metrics:
        low, high = metric.ci95 or (None, None)
        yield {
            "model": run.model,
            "seed": run.seed,
            "epochs": recipe.get("epochs"),
            "dataset": run.dataset.name,
            "protocol": run.protocol.name,
            "shifts": run.protocol.set,
            "max_shift": serialize_length(run.protocol.max_shift),
            "step": serialize_length(run.protocol.step),
            "metric": metric.id,
            "version": metric.version,
            "value": metric.value,
            "ci95_low": low,
            "ci95_high": high,
            "unit": metric.unit,
            "n": metric.n,
            "reason": metric.reason,
        }


def _findings(run: Run) -> Iterator[Finding]:
    group = f"{run.model} seed {run.seed}"
    headline = [
        f"{metric.title} {format_with_unit(metric.value, metric.unit)}"
        for id in HEADLINE_METRICS
        if (metric := run.metric(id)) and metric.value is not None
    ]
    if headline:
        yield Finding("notice", group, run.protocol.label, f"{', '.join(headline)}.")
    for metric in run.metrics:
        name = f"{metric.title} [{run.protocol.label}]"
        if metric.value is None:
            yield Finding("notice", group, name, f"no value: {metric.reason}")
            continue
        text = f"{format_with_unit(metric.value, metric.unit)} {format_interval(metric.ci95, metric.unit)}"
        yield Finding("passed", group, name, text.strip())
