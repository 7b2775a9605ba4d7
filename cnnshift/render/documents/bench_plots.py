"""The pictures of a benchmark: maps over the shifts, consistency by phase, curves by radius."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from cnnshift.render.document import Curve, HeatMap, Number, Plot
from cnnshift.render.numbers import format_difference
from cnnshift.results.aggregate import ContractGroup, ModelRuns, seed_mean
from cnnshift.results.schema import RadiusTable

OWN_MAP = 0.05
"""Accuracy has a map of its own where it differs somewhere by more than this from consistency."""

MOST_PHASES = 0.5
"""Phases are drawn where the shifts have at least this share of them."""

SHARES = {"accuracy": "accuracy", "worst_case_accuracy": "worst-case accuracy", "survival": "survival of the class"}

Values = Mapping[tuple[Number, Number], float]


def bench_plots(group: ContractGroup) -> list[Plot]:
    """What there is to draw of the models of one table; values are means over the seeds.

    For one model: its consistency at every shift, and its accuracy where that is another picture, on one scale;
    consistency by phase where strides alias; and its curves by radius. For several: the consistency of each, on one
    scale, and for each quantity the curves of all.
    """
    return [*_maps(group), *_phases(group), *_curves(group)]


def _maps(group: ContractGroup) -> Iterator[HeatMap]:
    if not group.example.by_shift.dy:
        return
    single = len(group.models) == 1
    shown = {
        "consistency" if single else f"consistency of {row.model}": _by_shift(row, "consistency")
        for row in group.models
    }
    if single:
        accuracy = _by_shift(group.models[0], "accuracy")
        if max(abs(accuracy[d] - shown["consistency"][d]) for d in accuracy) > OWN_MAP:
            unshifted = seed_mean(group.models[0].runs, "accuracy")
            shown["accuracy"] = accuracy | ({(0, 0): unshifted.value} if unshifted else {})
    ends = _ends(value for values in shown.values() for value in values.values())
    # The reference has its place in the middle even where no shift is on its row or column.
    y, x = (sorted({0, *(d[axis] for values in shown.values() for d in values)}) for axis in (0, 1))
    for title, values in shown.items():
        complete = len(values.keys() | {(0, 0)}) == len(y) * len(x)
        yield _map(title, values, (y, x), ends, "(0, 0) is the reference" if complete else "not among the shifts")


def _by_shift(row: ModelRuns, column: str) -> dict[tuple[Number, Number], float]:
    table = row.runs[0].by_shift
    return _mean_of_seeds(table.dy, table.dx, [getattr(run.by_shift, column) for run in row.runs])


def _mean_of_seeds(
    y: Sequence[Number], x: Sequence[Number], columns: Sequence[Sequence[Number]]
) -> dict[tuple[Number, Number], float]:
    return dict(zip(zip(y, x, strict=True), np.mean(columns, axis=0).tolist(), strict=True))


def _phases(group: ContractGroup) -> Iterator[HeatMap]:
    runs = group.models[0].runs
    table = runs[0].by_phase
    if len(group.models) > 1 or table.stride in (None, 1):
        return
    if any(len(run.by_phase.py) < MOST_PHASES * table.stride**2 for run in runs):
        return
    values = _mean_of_seeds(table.py, table.px, [run.by_phase.consistency for run in runs])
    axis = list(range(table.stride))
    gap = seed_mean(runs, "phase_spectrum")
    title = f"consistency by d mod {table.stride}" + (
        f", phase gap {format_difference(gap.value, 'fraction')}" if gap else ""
    )
    yield _map(title, values, (axis, axis), _ends(values.values()), "no shift has this phase")


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """The scale of what there is: from the least to the largest value; of all shares where they are equal."""
    found = list(values)
    return (min(found), max(found)) if min(found) < max(found) else (0.0, 1.0)


def _map(
    title: str, values: Values, axes: tuple[Sequence[Number], Sequence[Number]], ends: tuple[float, float], missing: str
) -> HeatMap:
    y, x = axes
    return HeatMap(title, [[values.get((dy, dx)) for dx in x] for dy in y], y, x, "fraction", *ends, missing=missing)


def _curves(group: ContractGroup) -> Iterator[Curve]:
    radii = group.example.by_radius.radius
    if len(radii) < 2:
        return
    found = {
        column: {row.model: curve for row in group.models if (curve := _by_radius(row, column)) is not None}
        for column in (*SHARES, "sensitivity")
    }
    if len(group.models) == 1:
        shares = {SHARES[column]: curve for column in SHARES for curve in found[column].values()}
        yield Curve("by radius", radii, shares, "fraction", 0.0, 1.0)
    else:
        for column, title in SHARES.items():
            yield Curve(title, radii, found[column], "fraction", 0.0, 1.0)
    if sensitivity := found["sensitivity"]:
        yield Curve("sensitivity", radii, sensitivity, "", 0.0, max(max(curve) for curve in sensitivity.values()))


def _by_radius(row: ModelRuns, column: str) -> list[float] | None:
    """Means over the seeds; None where a seed has no such column."""
    tables: list[RadiusTable] = [run.by_radius for run in row.runs]
    curves: Sequence[list[float] | None] = [getattr(table, column) for table in tables]
    return None if any(curve is None for curve in curves) else np.mean(curves, axis=0).tolist()
