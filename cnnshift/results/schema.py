"""The result file's content: `schema` cnnshift.result, version 1."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from cnnshift.results.packing import PackedArray

SCHEMA = "cnnshift.result"
SCHEMA_VERSION = 1


class Record(pydantic.BaseModel):
    """A part of a result."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class MetricResult(Record):
    """A metric's value for one run; a value that is not a number is null with a reason."""

    id: str
    version: int
    title: str
    value: float | None
    ci95: tuple[float, float] | None
    unit: str
    bounds: tuple[float, float] | None
    higher_is_better: bool
    n: int
    method: str = ""
    reason: str = ""
    per_image: PackedArray | None = None


class DatasetRecord(Record):
    """What was measured on."""

    name: str
    version: str
    split: str
    n: int
    size: tuple[int, int]
    fingerprint: str


class ProtocolRecord(Record):
    """How images moved; `information_loss` is the mean fraction of the foreground energy that left the window."""

    name: str
    set: str
    max_shift: int
    step: int
    count: int
    exhaustive: bool
    information_loss: float


class TrainingRecord(Record):
    """How the weights were made; `cached` when they were read instead."""

    recipe: dict[str, Any]
    cached: bool
    final_loss: float | None = None


class Timing(Record):
    """Seconds, and image-shifts per second of the sweep without compilation."""

    compile_seconds: float
    train_seconds: float
    sweep_seconds: float
    images_per_second: float


class ShiftTable(Record):
    """Columns over the shifts of an enumerated set; empty, with a reason, for shifts that differ by image."""

    dy: list[int] = []
    dx: list[int] = []
    accuracy: list[float] = []
    consistency: list[float] = []
    information_loss: list[float] = []
    reason: str = ""


class RadiusTable(Record):
    """Columns over the radii |d|∞ of the shifts: means at that radius; worst case and survival over all up to it.

    `pairs` counts the (image, shift) pairs and `images` the images at that radius.
    """

    radius: list[int]
    pairs: list[int]
    images: list[int]
    accuracy: list[float]
    consistency: list[float]
    consistency_ci95: list[tuple[float, float]]
    worst_case_accuracy: list[float]
    survival: list[float]


class Run(Record):
    """One model with one seed under one protocol."""

    model: str
    family: str
    options: dict[str, str]
    params: int
    flops: float | None
    weights_digest: str
    seed: int
    training: TrainingRecord
    dataset: DatasetRecord
    protocol: ProtocolRecord
    contract: str
    metrics: list[MetricResult]
    by_shift: ShiftTable
    by_radius: RadiusTable
    timing: Timing

    def metric(self, id: str) -> MetricResult | None:
        """The metric of that id, if it was computed."""
        return next((metric for metric in self.metrics if metric.id == id), None)


class Result(Record):
    """A benchmark: finished runs, what was asked for, and where it ran."""

    schema_: Literal["cnnshift.result"] = pydantic.Field(default=SCHEMA, alias="schema")
    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["complete", "partial", "interrupted"]
    created: str
    cnnshift_version: str
    config: dict[str, Any]
    environment: dict[str, Any]
    runs: list[Run]
