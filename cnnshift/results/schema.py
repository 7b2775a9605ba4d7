"""The result file's content: `schema` cnnshift.result, version 2.

What a version changed, and how an older file becomes a newer one, is in `cnnshift.results.migration`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any, Literal

import pydantic

from cnnshift.results.packing import MAX_BYTES, PackedArray, unpack

SCHEMA = "cnnshift.result"
SCHEMA_VERSION = 2

MAX_TOTAL_BYTES = 8 * MAX_BYTES
"""Packed arrays of one file must not claim more than this together: small files can claim very much."""


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
    unit: Literal["fraction", "px", ""]
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
    """How images moved; `information_loss` is the mean fraction of the foreground energy that left the window.

    `count` is the number of shifts per image, (0, 0) not among them.
    """

    name: str
    set: str
    max_shift: int
    step: int
    count: int
    exhaustive: bool
    information_loss: float

    @property
    def movement(self) -> str:
        """Protocol and shift set as they follow a metric's name: `circular, |d|≤8`."""
        extra = "" if self.set == "grid" else f", {self.set}"
        step = "" if self.step == 1 else f", step {self.step}"
        return f"{self.name}, |d|≤{self.max_shift}{extra}{step}"


class TrainingRecord(Record):
    """How the weights were made; `cached` when they were read instead."""

    recipe: dict[str, Any]
    cached: bool
    final_loss: float | None = None


class EngineRecord(Record):
    """What ran: `direct`, or `shared` between shifts; and how many passes of an image through the trunk that took.

    Null in files of version 1, which know only the direct engine.
    """

    name: Literal["direct", "shared"]
    forwards: int


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
    """One model with one seed under one protocol.

    `predictions` [n s]: the predicted class of every image at (0, 0), then at every shift in the order of `by_shift`
    (or of the image's own random shifts). None in files of version 1.
    """

    model: str
    family: str
    family_version: int | None
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
    predictions: PackedArray | None
    by_shift: ShiftTable
    by_radius: RadiusTable
    engine: EngineRecord | None
    timing: Timing

    def metric(self, id: str) -> MetricResult | None:
        """The metric of that id, if it was computed."""
        return next((metric for metric in self.metrics if metric.id == id), None)

    def packed(self) -> Iterator[tuple[str, PackedArray, tuple[int, ...]]]:
        """Every packed array, with its name and the shape that it must have."""
        for metric in self.metrics:
            if metric.per_image is not None:
                yield metric.id, metric.per_image, (self.dataset.n,)
        if self.predictions is not None:
            yield "predictions", self.predictions, (self.dataset.n, self.protocol.count + 1)


class Result(Record):
    """A benchmark: finished runs, what was asked for, and where it ran."""

    schema_: Literal["cnnshift.result"] = pydantic.Field(default=SCHEMA, alias="schema")
    schema_version: Literal[2] = SCHEMA_VERSION
    status: Literal["complete", "partial", "interrupted"]
    created: str
    cnnshift_version: str
    config: dict[str, Any]
    environment: dict[str, Any]
    runs: list[Run]

    @pydantic.model_validator(mode="after")
    def _arrays_hold_what_they_claim(self) -> Result:
        # Found when a file is read, not when somebody looks at an array; claims are checked before any is inflated.
        arrays = [array for run in self.runs for array in run.packed()]
        for name, array, shape in arrays:
            if array.shape != shape:
                raise ValueError(f"the packed array '{name}' has shape {array.shape}; {shape} is needed")
        if (claimed := sum(array.claimed_bytes for _, array, _ in arrays)) > MAX_TOTAL_BYTES:
            raise ValueError(f"packed arrays claim {claimed:,} bytes; allowed: at most {MAX_TOTAL_BYTES:,}")
        for _, array, _ in arrays:
            unpack(array)
        return self


def schema_text() -> str:
    """The JSON Schema of the file, as the package ships it (`schema.json`), so that other programs can rely on it."""
    return (resources.files("cnnshift.results") / "schema.json").read_text(encoding="utf-8")
