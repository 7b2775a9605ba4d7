"""The result file's content: `schema` cnnshift.result, version 3.

What a version changed, and how an older file becomes a newer one, is in `cnnshift.results.migration`.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Annotated, Any, Literal

import pydantic

from cnnshift.pixel_length import PixelLength
from cnnshift.results.packing import PackedArray
from cnnshift.results.validation import check_result

SCHEMA = "cnnshift.result"
SCHEMA_VERSION = 3


def _printable(text: str) -> str:
    """Names are shown in terminals, which obey control characters."""
    if found := re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise ValueError(f"text holds the control character {found[0]!r}")
    return text


Text = Annotated[str, pydantic.Field(max_length=10_000), pydantic.AfterValidator(_printable)]
Count = Annotated[int, pydantic.Field(ge=0, lt=2**63)]
Integer = Annotated[int, pydantic.Field(ge=-(2**63), lt=2**63)]
# Their squares and cubes, and sums of these, are finite.
Number = Annotated[float, pydantic.Field(ge=-1e60, le=1e60)]
Positive = Annotated[float, pydantic.Field(ge=0, le=1e60)]
# Of a shift, in pixels: whole ones are whole numbers in the file, fractions the 64-bit numbers nearest to them.
Coordinate = Annotated[
    float,
    pydantic.Field(ge=-1e9, le=1e9),
    pydantic.AfterValidator(lambda d: int(d) if d.is_integer() else d),
    pydantic.PlainSerializer(lambda d: d),
]


class Record(pydantic.BaseModel):
    """A part of a result."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class MetricResult(Record):
    """A metric's value for one run; a value that is not a number is null with a reason."""

    id: Text
    version: Count
    title: Text
    value: Number | None
    ci95: tuple[Number, Number] | None
    unit: Literal["fraction", "px", ""]
    bounds: tuple[Number, Number] | None
    higher_is_better: bool
    n: Count
    method: Text = ""
    reason: Text = ""
    per_image: PackedArray | None = None


class DatasetRecord(Record):
    """What was measured on."""

    name: Text
    version: Text
    split: Text
    n: Count
    size: tuple[Count, Count]
    fingerprint: Text


class ProtocolRecord(Record):
    """How images moved; `information_loss` is the mean fraction of the foreground energy that left the window.

    `count` is the number of shifts per image, (0, 0) not among them. `max_shift`, the largest |d|∞, and `step` are in
    pixels: whole numbers, or exact fractions as text ("1/3").
    """

    name: Text
    set: Text
    max_shift: PixelLength
    step: PixelLength
    count: Count
    exhaustive: bool
    information_loss: Number

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
    final_loss: Number | None = None


class EngineRecord(Record):
    """What ran: `direct`, or `shared` between shifts; and how many passes of an image through the trunk that took.

    Null in files of version 1, which know only the direct engine.
    """

    name: Literal["direct", "shared"]
    forwards: int


class Timing(Record):
    """Seconds, and image-shifts per second of the sweep without compilation."""

    compile_seconds: Positive
    train_seconds: Positive
    sweep_seconds: Positive
    images_per_second: Positive


class ShiftTable(Record):
    """Columns over the shifts, in pixels, of an enumerated set; empty, with a reason, where they differ by image.

    `sensitivity` is the mean distance of the logits, in units of the metric of that name; null with a reason where that
    does not exist, and without one in files that were written before it was measured.
    """

    dy: list[Coordinate] = []
    dx: list[Coordinate] = []
    accuracy: list[Number] = []
    consistency: list[Number] = []
    information_loss: list[Number] = []
    sensitivity: list[Number] | None = None
    sensitivity_reason: Text = ""
    reason: Text = ""


class RadiusTable(Record):
    """Columns over the radii |d|∞ of the shifts: means at that radius; worst case and survival over all up to it.

    `pairs` counts the (image, shift) pairs and `images` the images at that radius. `sensitivity` is the mean distance
    of the logits, as in `ShiftTable`. Files that were written before they were measured have neither it nor
    `survival_ci95`.
    """

    radius: list[Coordinate]
    pairs: list[Integer]
    images: list[Integer]
    accuracy: list[Number]
    consistency: list[Number]
    consistency_ci95: list[tuple[Number, Number]]
    worst_case_accuracy: list[Number]
    survival: list[Number]
    survival_ci95: list[tuple[Number, Number]] | None = None
    sensitivity: list[Number] | None = None
    sensitivity_reason: Text = ""


class PhaseTable(Record):
    """Columns over the phases (py, px) = d mod `stride` of the shifts by whole pixels: consistency by sampling grid.

    `stride` is the model's total stride, null where it is not known; the columns are empty, with a reason, where there
    is no phase. `pairs` and `images` count as in `RadiusTable`; for an enumerated set, pairs / images is the number of
    shifts of that phase.
    """

    stride: Count | None = None
    py: list[Count] = []
    px: list[Count] = []
    pairs: list[Count] = []
    images: list[Count] = []
    consistency: list[Number] = []
    consistency_ci95: list[tuple[Number, Number]] = []
    reason: Text = ""


class Run(Record):
    """One model with one seed under one protocol.

    `params` is null for a model that shows no weights, `flops` for one that runs outside of the compiled program.
    `predictions` [n s]: the predicted class of every image at (0, 0), then at every shift in the order of `by_shift`
    (or of the image's own random shifts). None in files of version 1, and where there are very many.
    """

    model: Text
    family: Text
    family_version: Integer | None
    options: dict[Text, Text]
    params: Count | None
    flops: Positive | None
    weights_digest: Text
    seed: Integer
    training: TrainingRecord
    dataset: DatasetRecord
    protocol: ProtocolRecord
    contract: Text
    metrics: list[MetricResult]
    predictions: PackedArray | None
    by_shift: ShiftTable
    by_radius: RadiusTable
    by_phase: PhaseTable = PhaseTable(reason="not measured by the version that wrote the file")
    engine: EngineRecord | None
    timing: Timing

    def metric(self, id: str) -> MetricResult | None:
        """The metric of that id, if it was computed."""
        return next((metric for metric in self.metrics if metric.id == id), None)


class Result(Record):
    """A benchmark: finished runs, what was asked for, and where it ran."""

    schema_: Literal["cnnshift.result"] = pydantic.Field(default=SCHEMA, alias="schema")
    schema_version: Literal[3] = SCHEMA_VERSION
    status: Literal["complete", "partial", "interrupted"]
    created: Text
    cnnshift_version: Text
    config: dict[str, Any]
    environment: dict[str, Any]
    runs: list[Run]

    @pydantic.model_validator(mode="after")
    def _parts_agree(self) -> Result:
        # Found when a file is read, not when somebody looks at an array.
        check_result(self)
        return self


def schema_text() -> str:
    """The JSON Schema of the file, as the package ships it (`schema.json`), so that other programs can rely on it."""
    return (resources.files("cnnshift.results") / "schema.json").read_text(encoding="utf-8")
