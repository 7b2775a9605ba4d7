"""What the parts of a result must agree on, beyond the type of each: checked when a file is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from cnnshift.results.packing import MAX_BYTES, PackedArray, unpack

if TYPE_CHECKING:
    from cnnshift.results.schema import MetricResult, Result, Run

MAX_TOTAL_BYTES = 32 * MAX_BYTES
"""Packed arrays of one file must not claim more than this together: small files can claim very much."""

# Values may leave their bounds by the rounding error of means over shifts, relative to the range, as in
# cnnshift.stats; and a mean of 32-bit values differs from that of the 64-bit values they were.
_SLACK, _ROUNDING = 1e-9, 1e-5


def check_result(result: Result) -> None:
    """Check that runs and metrics are told apart, and that arrays hold what their metrics say.

    Raises:
        ValueError: they do not; the message is one sentence.
    """
    _check_claims(result)
    seen: set[tuple[str, str, int]] = set()
    examples: dict[str, Run] = {}
    definitions: dict[tuple[str, str], MetricResult] = {}
    for run in result.runs:
        key = run.contract, run.model, run.seed
        if key in seen:
            raise ValueError(f"there are two runs of {run.model} with seed {run.seed} under the same contract")
        seen.add(key)
        if not measured_alike(examples.setdefault(run.contract, run), run):
            raise ValueError(f"runs of {run.model} under the same contract differ in their data set or protocol")
        _check_tables(run)
        ids: set[str] = set()
        for metric in run.metrics:
            if metric.id in ids:
                raise ValueError(f"a run of {run.model} has the metric '{metric.id}' twice")
            ids.add(metric.id)
            _check_metric(metric)
            if what := differing_definition(definitions.setdefault((run.contract, metric.id), metric), metric):
                raise ValueError(f"the metric '{metric.id}' has another {what} in another run under the same contract")
        if run.predictions is not None:
            if run.predictions.dtype == "<f4":
                raise ValueError("predictions are not whole numbers")
            unpack(run.predictions)


def measured_alike(a: Run, b: Run) -> bool:
    """Whether two runs say that they measured the same images under the same shifts."""
    loss = {"information_loss": 0.0}
    return a.dataset == b.dataset and a.protocol.model_copy(update=loss) == b.protocol.model_copy(update=loss)


def differing_definition(a: MetricResult, b: MetricResult) -> str:
    """Name of the first part of its definition in which a metric differs; empty where the versions do, or none does."""
    if a.version != b.version:
        return ""
    parts = ("unit", "higher_is_better", "bounds")
    # Bounds are known only where there is a value.
    known = a.value is not None and b.value is not None
    return next((part for part in parts[: 3 if known else 2] if getattr(a, part) != getattr(b, part)), "")


def _packed(run: Run) -> Iterator[tuple[str, PackedArray, tuple[int, ...]]]:
    """Every packed array, with its name and the shape that it must have."""
    for metric in run.metrics:
        if metric.per_image is not None:
            yield metric.id, metric.per_image, (run.dataset.n,)
    if run.predictions is not None:
        yield "predictions", run.predictions, (run.dataset.n, run.protocol.count + 1)


def _check_claims(result: Result) -> None:
    """Sizes of all arrays, before any is inflated."""
    arrays = [array for run in result.runs for array in _packed(run)]
    for name, array, shape in arrays:
        if array.shape != shape:
            raise ValueError(f"the packed array '{name}' has shape {array.shape}; {shape} is needed")
    if (claimed := sum(array.claimed_bytes for _, array, _ in arrays)) > MAX_TOTAL_BYTES:
        raise ValueError(f"packed arrays claim {claimed:,} bytes; allowed: at most {MAX_TOTAL_BYTES:,}")


def _check_metric(metric: MetricResult) -> None:
    name, value = f"the metric '{metric.id}'", metric.value
    if metric.bounds is not None and not metric.bounds[0] < metric.bounds[1]:
        raise ValueError(f"{name} has bounds {metric.bounds}; the first must be less than the second")
    if value is not None and metric.ci95 is not None and not _holds(metric.ci95, value):
        raise ValueError(f"{name} is {value:g}, which is not in its interval {metric.ci95}")
    if value is not None and metric.bounds is not None and not _holds(metric.bounds, value):
        raise ValueError(f"{name} is {value:g}, which is not within its bounds {metric.bounds}")
    if metric.per_image is None:
        return
    array = unpack(metric.per_image).astype(float)
    counted = array[~np.isnan(array)]
    if value is None:
        return
    if not counted.size:
        raise ValueError(f"{name} has a value, but no image with one")
    limits = metric.bounds or (-math.inf, math.inf)
    least, largest = float(counted.min()), float(counted.max())
    if not (math.isfinite(least) and math.isfinite(largest) and _holds(limits, least) and _holds(limits, largest)):
        raise ValueError(f"{name} has values per image that are not finite or not within its bounds")
    if abs(counted.mean() - value) > _ROUNDING * max(1.0, abs(value)):
        raise ValueError(f"{name} is {value:g}, but its values per image have the mean {counted.mean():g}")


def _holds(limits: tuple[float, float], value: float) -> bool:
    width = limits[1] - limits[0]
    slack = _SLACK * width if 0 <= width < math.inf else 0.0
    return limits[0] - slack <= value <= limits[1] + slack


def _check_tables(run: Run) -> None:
    for name in ("by_shift", "by_radius", "by_phase"):
        columns = {key: len(column) for key, column in getattr(run, name) if isinstance(column, list)}
        if len(set(columns.values())) > 1:
            lengths = ", ".join(f"{key} {length}" for key, length in columns.items())
            raise ValueError(f"the columns of {name} have different lengths: {lengths}")
    if run.by_shift.dy and len(run.by_shift.dy) != run.protocol.count:
        raise ValueError(f"by_shift has {len(run.by_shift.dy)} shifts; the protocol has {run.protocol.count}")
