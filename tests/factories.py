"""Results made in code: a few runs with per-image values, without a measurement."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnshift.catalog import METRICS
from cnnshift.results.packing import pack
from cnnshift.results.schema import (
    DatasetRecord,
    MetricResult,
    ProtocolRecord,
    RadiusTable,
    Result,
    Run,
    ShiftTable,
    Timing,
    TrainingRecord,
)
from cnnshift.stats.intervals import mean_interval

SHIFTS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def result_file(version: int) -> Path:
    """Return the path of the committed result file of a schema version."""
    return Path(__file__).parent / "data" / f"result-version-{version}.json"


def make_metric(id: str, values: Sequence[float] | np.ndarray | None, **changes: Any) -> MetricResult:
    """Return a registered metric with per-image values (NaN: not counted), or without a value if they are None."""
    spec = METRICS.load(id).spec
    fields = {
        "id": id,
        "version": spec.version,
        "title": spec.title,
        "value": None,
        "ci95": None,
        "unit": spec.unit,
        "bounds": spec.bounds,
        "higher_is_better": spec.higher_is_better,
        "n": 0,
        "reason": "not available",
        "per_image": None,
    }
    if values is not None:
        array = np.asarray(values, dtype=float)
        counted = array[~np.isnan(array)]
        interval = mean_interval(counted, bounds=spec.bounds)
        limits = interval.low, interval.high
        finite = bool(np.isfinite(limits).all())
        fields |= {"value": float(counted.mean()), "ci95": limits if finite else None, "n": counted.size}
        fields |= {"per_image": pack(array), "reason": ""}
    return MetricResult(**(fields | changes))


def make_summary(id: str, value: float, half: float = 0.05, **changes: Any) -> MetricResult:
    """Return a metric without per-image values."""
    return make_metric(id, None, value=value, ci95=(value - half, value + half), n=50, reason="", **changes)


def make_run(
    metrics: Mapping[str, Any],
    *,
    model: str = "cnn",
    seed: int = 0,
    contract: str = "grid1",
    predictions: np.ndarray | None = None,
    dataset: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
    timing: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Run:
    """Return a run; `metrics` maps ids to per-image values or to complete records."""
    found = [value if isinstance(value, MetricResult) else make_metric(id, value) for id, value in metrics.items()]
    sizes = [one.per_image.shape[0] for one in found if one.per_image is not None]
    n = sizes[0] if sizes else 50 if predictions is None else len(predictions)
    fields = {
        "model": model,
        "family": model.partition(":")[0],
        "family_version": 1,
        "options": {},
        "params": 1000,
        "flops": 1e6,
        "weights_digest": "0" * 64,
        "seed": seed,
        "training": TrainingRecord(recipe=dict(recipe or {"epochs": 1}), cached=False, final_loss=0.1),
        "dataset": DatasetRecord(
            **(
                {"name": "toy", "version": "1", "split": "test", "n": n, "size": (8, 8), "fingerprint": "f"}
                | dict(dataset or {})
            )
        ),
        "protocol": ProtocolRecord(
            **(
                {
                    "name": "circular",
                    "wraps": True,
                    "set": "grid",
                    "max_shift": 1,
                    "step": 1,
                    "count": 8,
                    "exhaustive": True,
                    "information_loss": 0.0,
                }
                | dict(protocol or {})
            )
        ),
        "contract": contract,
        "metrics": found,
        "predictions": None if predictions is None else pack(predictions),
        "engine": None,
        "by_shift": ShiftTable(
            dy=[dy for dy, _ in SHIFTS],
            dx=[dx for _, dx in SHIFTS],
            accuracy=[0.5] * 8,
            consistency=[0.5] * 8,
            information_loss=[0.0] * 8,
        ),
        "by_radius": RadiusTable(
            radius=[1],
            pairs=[8 * n],
            images=[n],
            accuracy=[0.5],
            consistency=[0.5],
            consistency_ci95=[(0.4, 0.6)],
            worst_case_accuracy=[0.5],
            survival=[0.5],
        ),
        "timing": Timing(
            **(
                {"compile_seconds": 1, "train_seconds": 1, "sweep_seconds": 1, "images_per_second": 1000}
                | dict(timing or {})
            )
        ),
    }
    return Run(**(fields | changes))


def make_result(*runs: Run, **changes: Any) -> Result:
    """Return a complete result."""
    fields = {
        "status": "complete",
        "created": "2026-01-01T00:00:00+00:00",
        "cnnshift_version": "0",
        "config": {},
        "environment": {"device_kind": "cpu", "matmul_precision": "highest"},
        "runs": list(runs),
    }
    return Result(**(fields | changes))


def make_outcomes(ones: int, n: int = 200) -> np.ndarray:
    """Return n outcomes, of which the first `ones` are 1 and the others 0."""
    return (np.arange(n) < ones).astype(float)
