"""The plots of `cnnshift bench`: maps over the shifts, consistency by phase, curves by radius."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from cnnshift.render.document import Curve, HeatMap, Number, Plot
from cnnshift.render.numbers import format_difference
from cnnshift.results.aggregate import ContractGroup, ModelRuns, seed_mean

# A map of the accuracy is drawn if it differs from the consistency by more than this at some shift.
MIN_DIFFERENCE = 0.05

# The phases are drawn if the shifts have at least this fraction of them.
MIN_PHASES = 0.5

RATES = {"accuracy": "accuracy", "worst_case_accuracy": "worst-case accuracy", "survival": "class unchanged"}

Values = dict[tuple[Number, Number], float]


def bench_plots(group: ContractGroup) -> list[Plot]:
    """Return the plots of the models of one table, with means over the seeds.

    For one model: its consistency at every shift, and its accuracy if that differs, on one scale; consistency by phase
    if the total stride exceeds 1; and its curves by radius. For several models: the consistency of each, on one scale,
    and for each quantity the curves of all models.
    """
    return [*_shift_maps(group), *_phase_map(group), *_curves(group)]


def _shift_maps(group: ContractGroup) -> Iterator[HeatMap]:
    if not group.example.by_shift.dy:
        return
    single = len(group.models) == 1
    maps = {
        "consistency" if single else f"consistency of {model.model}": _by_shift(model, "consistency")
        for model in group.models
    }
    if single:
        accuracy = _by_shift(group.models[0], "accuracy")
        if max(abs(accuracy[d] - maps["consistency"][d]) for d in accuracy) > MIN_DIFFERENCE:
            unshifted = seed_mean(group.models[0].runs, "accuracy")
            maps["accuracy"] = accuracy | ({(0, 0): unshifted.value} if unshifted else {})
    limits = _limits([value for values in maps.values() for value in values.values()])
    # The reference is in the middle, even if no other shift is in its row or column.
    y, x = (sorted({0, *(d[axis] for values in maps.values() for d in values)}) for axis in (0, 1))
    for title, values in maps.items():
        complete = len(values.keys() | {(0, 0)}) == len(y) * len(x)
        missing = "(0, 0) is the reference" if complete else "not in the shift set"
        yield _heat_map(title, values, y, x, limits, missing)


def _by_shift(model: ModelRuns, column: str) -> Values:
    table = model.runs[0].by_shift
    return _seed_means(table.dy, table.dx, [getattr(run.by_shift, column) for run in model.runs])


def _seed_means(y: Sequence[Number], x: Sequence[Number], columns: Sequence[Sequence[Number]]) -> Values:
    return dict(zip(zip(y, x, strict=True), np.mean(columns, axis=0).tolist(), strict=True))


def _phase_map(group: ContractGroup) -> Iterator[HeatMap]:
    runs = group.models[0].runs
    table = runs[0].by_phase
    if len(group.models) > 1 or table.stride in (None, 1):
        return
    if any(len(run.by_phase.py) < MIN_PHASES * table.stride**2 for run in runs):
        return
    values = _seed_means(table.py, table.px, [run.by_phase.consistency for run in runs])
    axis = list(range(table.stride))
    title = f"consistency by d mod {table.stride}"
    if gap := seed_mean(runs, "phase_spectrum"):
        title += f", phase gap {format_difference(gap.value, 'fraction')}"
    yield _heat_map(title, values, axis, axis, _limits(values.values()), "no shift has this phase")


def _limits(values: Collection[float]) -> tuple[float, float]:
    """Return the smallest and largest value as the limits of a scale, or 0 and 1 if they are equal."""
    return (min(values), max(values)) if min(values) < max(values) else (0.0, 1.0)


def _heat_map(
    title: str, values: Values, y: Sequence[Number], x: Sequence[Number], limits: tuple[float, float], missing: str
) -> HeatMap:
    return HeatMap(title, [[values.get((dy, dx)) for dx in x] for dy in y], y, x, "fraction", *limits, missing=missing)


def _curves(group: ContractGroup) -> Iterator[Curve]:
    radii = group.example.by_radius.radius
    if len(radii) < 2:
        return
    curves = {
        column: {model.model: curve for model in group.models if (curve := _by_radius(model, column)) is not None}
        for column in (*RATES, "sensitivity")
    }
    rates = {title: curves[column] for column, title in RATES.items()}
    if len(group.models) == 1:
        rates = {"by radius": {title: curve for title, lines in rates.items() for curve in lines.values()}}
    for title, lines in rates.items():
        yield Curve(title, radii, lines, "fraction", 0.0, 1.0)
    if sensitivity := curves["sensitivity"]:
        yield Curve("sensitivity", radii, sensitivity, "", 0.0, max(max(curve) for curve in sensitivity.values()))


def _by_radius(model: ModelRuns, column: str) -> list[float] | None:
    """Return a column averaged over the seeds; None if a run does not have it."""
    curves = [curve for run in model.runs if (curve := getattr(run.by_radius, column)) is not None]
    return np.mean(curves, axis=0).tolist() if len(curves) == len(model.runs) else None
