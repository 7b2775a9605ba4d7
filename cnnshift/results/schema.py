"""The content of a result file: `schema` "cnnshift.result", version 4.

`cnnshift.results.migration` lists the changes of every version.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Annotated, Any, Literal

import pydantic

from cnnshift.pixel_length import PixelLength
from cnnshift.results.packing import PackedArray

SCHEMA = "cnnshift.result"
SCHEMA_VERSION = 4


def _check_printable(text: str) -> str:
    """Refuse control characters, which a terminal would execute."""
    if found := re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise ValueError(f"text holds the control character {found[0]!r}")
    return text


Text = Annotated[str, pydantic.Field(max_length=10_000), pydantic.AfterValidator(_check_printable)]
Count = Annotated[int, pydantic.Field(ge=0, lt=2**63)]
Integer = Annotated[int, pydantic.Field(ge=-(2**63), lt=2**63)]
# The limits keep squares, cubes and their sums finite.
Number = Annotated[float, pydantic.Field(ge=-1e60, le=1e60)]
NonNegative = Annotated[float, pydantic.Field(ge=0, le=1e60)]
# One component of a shift in pixels. Whole pixels are written as integers, fractions as the nearest 64-bit float.
Coordinate = Annotated[
    float,
    pydantic.Field(ge=-1e9, le=1e9),
    pydantic.AfterValidator(lambda d: int(d) if d.is_integer() else d),
    pydantic.PlainSerializer(lambda d: d),
]


class Record(pydantic.BaseModel):
    """Base class of all parts of a JSON document of cnnshift: immutable, without unknown keys, NaN and infinity."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, defer_build=True
    )


class MetricResult(Record):
    """A metric of one run; `value` is null, with a `reason`, if the metric is not available."""

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
    """The test images: `n` images of `size` (height, width)."""

    name: Text
    version: Text
    split: Text
    n: Count
    size: tuple[Count, Count]
    fingerprint: Text


class ProtocolRecord(Record):
    """A shift protocol and a shift set.

    If `wraps`, pixels that leave the image enter at the opposite border. `max_shift`, the largest |d|∞, and
    `step` are in pixels: integers, or exact fractions as text ("1/3"). `count` is the number of shifts per image
    without (0, 0). `information_loss` is the mean fraction of the foreground energy that leaves the image.
    """

    name: Text
    wraps: bool
    set: Text
    max_shift: PixelLength
    step: PixelLength
    count: Count
    exhaustive: bool
    information_loss: Number

    @property
    def label(self) -> str:
        """Protocol and shift set as shown after the name of a metric: `circular, |d|≤8`."""
        extra = "" if self.set == "grid" else f", {self.set}"
        step = "" if self.step == 1 else f", step {self.step}"
        return f"{self.name}, |d|≤{self.max_shift}{extra}{step}"


class TrainingRecord(Record):
    """The training recipe; `cached` if the weights were read from a file."""

    recipe: dict[str, Any]
    cached: bool
    final_loss: Number | None = None


class EngineRecord(Record):
    """The engine of the sweep, and the number of forward passes of single images.

    `direct` computes every shift; `shared` reuses feature maps between shifts.
    """

    name: Literal["direct", "shared"]
    forward_passes: int


class Timing(Record):
    """Seconds, and image-shift pairs per second of the sweep without compilation."""

    compile_seconds: NonNegative
    train_seconds: NonNegative
    sweep_seconds: NonNegative
    images_per_second: NonNegative


class ShiftTable(Record):
    """Columns over the shifts (dy, dx) in pixels; empty, with a `reason`, for shift sets that differ by image.

    `sensitivity` is the mean distance of the logits in units of the metric of that name; null, with a reason, if the
    metric is not available, and null without a reason in files that predate it.
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
    """Columns over the radii |d|∞ of the shifts.

    `pairs` counts (image, shift) pairs and `images` counts images at a radius. Accuracy, consistency and sensitivity
    are means at that radius; worst-case accuracy and survival cover all shifts up to it. Files that predate
    `sensitivity` and `survival_ci95` have null there.
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
    """Consistency by phase (py, px) = d mod `stride`, over the shifts by whole pixels.

    `stride` is the total stride of the model, null if unknown. The columns are empty, with a `reason`, if there are no
    phases. `pairs` and `images` count as in `RadiusTable`.
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

    `family_version` is null for models that are not trained by cnnshift, `params` for models without accessible
    weights, `flops` for models that run outside the compiled program. `predictions` [n, s + 1] holds the predicted
    class of every image at (0, 0), then at every shift in the order of `by_shift`, or of the random shifts of that
    image; it is null if there are too many. `family_version`, `predictions` and `engine` are null in files of
    version 1.
    """

    model: Text
    family: Text
    family_version: Integer | None
    options: dict[Text, Text]
    params: Count | None
    flops: NonNegative | None
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
        """Return the metric with that id, or None."""
        return next((metric for metric in self.metrics if metric.id == id), None)


class Result(Record):
    """The finished runs of a benchmark, its configuration and its environment."""

    schema_: Literal["cnnshift.result"] = pydantic.Field(default=SCHEMA, alias="schema")
    schema_version: Literal[4] = SCHEMA_VERSION
    status: Literal["complete", "partial", "interrupted"]
    created: Text
    cnnshift_version: Text
    config: dict[str, Any]
    environment: dict[str, Any]
    runs: list[Run]


def schema_text() -> str:
    """Return the JSON Schema of a result file."""
    return (resources.files("cnnshift.results") / "schema.json").read_text(encoding="utf-8")
