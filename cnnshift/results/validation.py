"""Consistency checks between the parts of a result, made when a file is read."""

from __future__ import annotations

import math

import numpy as np

from cnnshift.results.packing import MAX_BYTES, unpack
from cnnshift.results.schema import MetricResult, Result, Run

MAX_TOTAL_BYTES = 32 * MAX_BYTES
"""Size limit of all packed arrays of one file together, uncompressed."""

# Rounding errors: of means over shifts, relative to the range; and of means of 32-bit values.
_BOUND_TOLERANCE, _MEAN_TOLERANCE = 1e-9, 1e-5


def check_result(result: Result) -> None:
    """Raise ValueError if runs or metrics are not unique, or if arrays do not match their metrics."""
    _check_array_sizes(result)
    keys: set[tuple[str, str, int]] = set()
    examples: dict[str, Run] = {}
    definitions: dict[tuple[str, str], MetricResult] = {}
    for run in result.runs:
        key = run.contract, run.model, run.seed
        if key in keys:
            raise ValueError(f"there are two runs of {run.model} with seed {run.seed} under the same contract")
        keys.add(key)
        if not same_conditions(examples.setdefault(run.contract, run), run):
            raise ValueError(f"runs of {run.model} under the same contract differ in their data set or protocol")
        _check_tables(run)
        ids: set[str] = set()
        for metric in run.metrics:
            if metric.id in ids:
                raise ValueError(f"a run of {run.model} has the metric '{metric.id}' twice")
            ids.add(metric.id)
            _check_metric(metric)
            if field := differing_field(definitions.setdefault((run.contract, metric.id), metric), metric):
                raise ValueError(f"the metric '{metric.id}' has another {field} in another run under the same contract")
        if run.predictions is not None:
            if run.predictions.dtype == "<f4":
                raise ValueError("predictions are not whole numbers")
            unpack(run.predictions)


def same_conditions(a: Run, b: Run) -> bool:
    """Return whether two runs measured the same images under the same shifts, according to their records."""
    # Information loss follows from the other fields; the migration guesses `wraps` for protocols of plug-ins.
    derived = {"information_loss": 0.0, "wraps": False}
    return a.dataset == b.dataset and a.protocol.model_copy(update=derived) == b.protocol.model_copy(update=derived)


def differing_field(a: MetricResult, b: MetricResult) -> str:
    """Return the first field in which two definitions of one version of a metric differ, or an empty string."""
    if a.version != b.version:
        return ""
    # Bounds are recorded only if there is a value.
    both = a.value is not None and b.value is not None
    fields = ("unit", "higher_is_better", "bounds") if both else ("unit", "higher_is_better")
    return next((field for field in fields if getattr(a, field) != getattr(b, field)), "")


def _check_array_sizes(result: Result) -> None:
    """Check the sizes of all arrays before any is decompressed."""
    total = 0
    for run in result.runs:
        per_image = ((metric.id, metric.per_image, (run.dataset.n,)) for metric in run.metrics)
        predictions = "predictions", run.predictions, (run.dataset.n, run.protocol.count + 1)
        for name, array, shape in (*per_image, predictions):
            if array is None:
                continue
            if array.shape != shape:
                raise ValueError(f"the packed array '{name}' has shape {array.shape}; it must have shape {shape}")
            total += array.nbytes
    if total > MAX_TOTAL_BYTES:
        raise ValueError(f"the packed arrays have {total:,} bytes; they must have at most {MAX_TOTAL_BYTES:,}")


def _check_metric(metric: MetricResult) -> None:
    name, value = f"the metric '{metric.id}'", metric.value
    if metric.bounds is not None and not metric.bounds[0] < metric.bounds[1]:
        raise ValueError(f"{name} has bounds {metric.bounds}; the first must be less than the second")
    if value is not None and metric.ci95 is not None and not _contains(metric.ci95, value):
        raise ValueError(f"{name} is {value:g}, outside its interval {metric.ci95}")
    if value is not None and metric.bounds is not None and not _contains(metric.bounds, value):
        raise ValueError(f"{name} is {value:g}, outside its bounds {metric.bounds}")
    if metric.per_image is None:
        return
    array = unpack(metric.per_image).astype(float)
    if value is None:
        return
    counted = array[~np.isnan(array)]
    if not counted.size:
        raise ValueError(f"{name} has a value, but no per-image value")
    bounds = metric.bounds or (-math.inf, math.inf)
    limits = float(counted.min()), float(counted.max())
    if not all(math.isfinite(limit) and _contains(bounds, limit) for limit in limits):
        raise ValueError(f"{name} has per-image values that are not finite or outside its bounds")
    if abs(counted.mean() - value) > _MEAN_TOLERANCE * max(1.0, abs(value)):
        raise ValueError(f"{name} is {value:g}, but the mean of its per-image values is {counted.mean():g}")


def _contains(limits: tuple[float, float], value: float) -> bool:
    width = limits[1] - limits[0]
    tolerance = _BOUND_TOLERANCE * width if 0 <= width < math.inf else 0.0
    return limits[0] - tolerance <= value <= limits[1] + tolerance


def _check_tables(run: Run) -> None:
    for name in ("by_shift", "by_radius", "by_phase"):
        lengths = {key: len(column) for key, column in getattr(run, name) if isinstance(column, list)}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise ValueError(f"the columns of {name} have different lengths: {listed}")
    if run.by_shift.dy and len(run.by_shift.dy) != run.protocol.count:
        raise ValueError(f"by_shift has {len(run.by_shift.dy)} shifts; the protocol has {run.protocol.count}")
