"""What `cnnshift bench` says about a result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnnshift.pixel_length import serialize_length
from cnnshift.render.document import Document, Finding, Table
from cnnshift.render.documents.bench_plots import bench_plots
from cnnshift.render.documents.bench_summary import summarize
from cnnshift.render.documents.bench_table import HEADLINE_METRICS, bench_columns
from cnnshift.render.numbers import UNIT_SUFFIXES, format_interval, format_value, format_with_unit, headline
from cnnshift.results.aggregate import ContractGroup, group_by_contract
from cnnshift.results.schema import Result, Run

LEGEND = "[low, high]: 95 % interval over images · * best of its column · bars: 0 to 100 %"


def bench_document(result: Result, *, plots: bool | None = None) -> Document:
    """One table per protocol, one row per model; records are one per run and metric.

    Args:
        result: what was measured.
        plots: whether its maps and curves are drawn below the tables; by default those of a single model.
    """
    groups = group_by_contract(result)
    if plots is None:
        plots = len({run.model for run in result.runs}) == 1
    return Document(
        name="bench",
        content=result,
        records=[record for run in result.runs for record in _records(run)],
        tables=[_table(group, plots=plots) for group in groups],
        header=[] if groups else ["No cell was finished."],
        findings=[finding for run in result.runs for finding in _findings(run)],
        # A line per run, without what only a program that reads the whole file wants.
        lines=[run.model_dump(mode="json", exclude=_PER_IMAGE) for run in result.runs],
    )


def _table(group: ContractGroup, *, plots: bool) -> Table:
    no_map = group.example.by_shift.reason if plots else ""
    legend = f"{LEGEND} · no map: {no_map}" if no_map else LEGEND
    return Table(headline(group), bench_columns(group), legend, summarize(group), bench_plots(group) if plots else ())


_PER_IMAGE: Any = {"predictions": True, "metrics": {"__all__": {"per_image"}}}


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
    shown = [metric for id in HEADLINE_METRICS if (metric := run.metric(id)) and metric.value is not None]
    if shown:
        said = ", ".join(f"{m.title} {format_with_unit(m.value or 0.0, m.unit)}" for m in shown)
        yield Finding("notice", group, run.protocol.movement, f"{said}.")
    for metric in run.metrics:
        name = f"{metric.title} [{run.protocol.movement}]"
        if metric.value is None:
            yield Finding("notice", group, name, f"no value: {metric.reason}")
            continue
        sign = UNIT_SUFFIXES[metric.unit]
        text = f"{format_value(metric.value, metric.unit)}{sign} {format_interval(metric.ci95, metric.unit)}"
        yield Finding("passed", group, name, text.strip())
