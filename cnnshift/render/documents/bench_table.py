"""The columns of the table of `cnnshift bench`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnshift.config import HEADLINE_METRICS
from cnnshift.pixel_length import format_length
from cnnshift.render.document import Column, TableCell
from cnnshift.render.numbers import UNIT_SUFFIXES, format_count, format_interval, format_value
from cnnshift.render.sparkline import sparkline, thin_out
from cnnshift.results.aggregate import ContractGroup, seed_mean

MAX_BARS = 16


def bench_columns(group: ContractGroup, selected: Sequence[str] = ()) -> list[Column]:
    """Return the columns: model, metrics with intervals, accuracy by radius, parameters and speed.

    Args:
        group: the models of the table.
        selected: ids of the metrics that the user selected; by default the headline metrics are shown.
    """
    computed = [metric.id for metric in group.example.metrics]
    metrics = [id for id in selected or HEADLINE_METRICS if id in computed] or computed
    columns = [Column("model", [TableCell(model.model) for model in group.models], numeric=False)]
    columns += [_metric_column(group, id) for id in metrics]
    radii = group.example.by_radius.radius
    if len(radii) > 1 and {"accuracy", "shifted_accuracy"} & set(metrics):
        curves = [np.mean([run.by_radius.accuracy for run in model.runs], axis=0) for model in group.models]
        heading = f"accuracy at |d| = {format_length(radii[0])} … {format_length(radii[-1])}"
        indices = thin_out(len(radii), MAX_BARS)
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
