"""The document of `cnnshift bench`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cnnshift.config import HEADLINE_METRICS
from cnnshift.pixel_length import serialize_length
from cnnshift.render.document import Document, Finding, Table
from cnnshift.render.documents.bench_plots import bench_plots
from cnnshift.render.documents.bench_summary import summarize
from cnnshift.render.documents.bench_table import bench_columns
from cnnshift.render.numbers import format_interval, format_with_unit, percent
from cnnshift.results.aggregate import ContractGroup, group_by_contract
from cnnshift.results.schema import Result, Run


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
        bench_columns(group, selected),
        " · ".join(legend),
        summarize(group),
        bench_plots(group) if plots else (),
    )


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
