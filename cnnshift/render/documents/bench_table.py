"""The columns that a benchmark's table shows, in every format for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnshift.pixel_length import format_length
from cnnshift.render.document import Column, TableCell
from cnnshift.render.numbers import UNIT_SUFFIXES, format_count, format_interval, format_value
from cnnshift.render.sparkline import sparkline, thin_out
from cnnshift.results.aggregate import ContractGroup, seed_mean

HEADLINE_METRICS = ("accuracy", "shifted_accuracy", "worst_case_accuracy", "pairwise_consistency")


def bench_columns(group: ContractGroup) -> list[Column]:
    """Model, metrics with intervals, accuracy by radius, parameters and speed."""
    shown = _metrics(group)
    result = [Column("model", tuple(TableCell(row.model) for row in group.models), numeric=False)]
    result += [_metric_column(group, id) for id in shown]
    radii = group.example.by_radius.radius
    if len(radii) > 1 and {"accuracy", "shifted_accuracy"} & set(shown):
        curves = [np.mean([run.by_radius.accuracy for run in row.runs], axis=0) for row in group.models]
        heading = f"accuracy at |d| = {format_length(radii[0])} … {format_length(radii[-1])}"
        # A wide set is thinned out evenly, ends included, so that its bars stay readable.
        kept = thin_out(len(radii), 16)
        cells = tuple(TableCell(sparkline(curve[kept].tolist(), 0.0, 1.0)) for curve in curves)
        result.append(Column(heading, cells, numeric=False))
    result.append(_count_column("params", [row.runs[0].params for row in group.models]))
    speeds = [float(np.mean([run.timing.images_per_second for run in row.runs])) for row in group.models]
    result.append(_count_column("images/s", speeds))
    return result


def _metrics(group: ContractGroup) -> Sequence[str]:
    computed = [metric.id for metric in group.example.metrics]
    headline = [id for id in HEADLINE_METRICS if id in computed]
    # All metrics were computed by default: a selection was asked for, and is then shown whole.
    return headline if len(computed) > 12 else computed


def _metric_column(group: ContractGroup, id: str) -> Column:
    spec = group.example.metric(id)
    assert spec is not None
    values = [seed_mean(row.runs, id) for row in group.models]
    present = [value.value for value in values if value]
    # Where all rows are equal none of them is the best.
    best = (max(present) if spec.higher_is_better else min(present)) if len(set(present)) > 1 else None
    cells = []
    for value in values:
        if value is None:
            cells.append(TableCell("–"))
            continue
        detail = format_interval(value.ci95, spec.unit)
        if value.seed_sd is not None:
            detail += f" ±{format_value(value.seed_sd, spec.unit)}"
        cells.append(TableCell(format_value(value.value, spec.unit), detail.strip(), best=value.value == best))
    where = "" if id == "accuracy" else f" [{group.example.protocol.movement}]"
    sign = UNIT_SUFFIXES[spec.unit]
    return Column(f"{spec.title}{sign}{where}", tuple(cells))


def _count_column(heading: str, values: Sequence[int | float | None]) -> Column:
    return Column(heading, tuple(TableCell(format_count(value)) for value in values), optional=True)
