"""Options that several commands share, and the sections of the help pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnnshift.config import DEFAULTS, SUBPIXEL_RANGE, WHOLE_PIXEL_RANGE

DATA, SHIFTS, TRAINING, EXECUTION, OUTPUT = "Models and data", "Shifts", "Training", "Execution", "Output"


def option(*names: str, panel: str, help: str, metavar: str | None = None, default: object = "") -> Any:
    """Declare an option whose help ends with its default, if there is one."""
    text = f"{help} (default: {default})" if default != "" else help
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=panel, show_default=False)


def _range_default(setting: str) -> str:
    return f"{getattr(WHOLE_PIXEL_RANGE, setting)}; {getattr(SUBPIXEL_RANGE, setting)} for fourier and bilinear"


Model = Annotated[
    str, typer.Argument(metavar="MODEL_SPEC", help="Model, as FAMILY:KEY=VALUE,… (see 'cnnshift list models').")
]

Dataset = Annotated[
    str | None,
    option(
        panel=DATA,
        metavar="SPEC",
        default=DEFAULTS.dataset,
        help="Use this data set (see 'cnnshift list datasets').",
    ),
]
DataDir = Annotated[
    str | None, option(panel=DATA, metavar="DIR", help="Read prepared data sets from DIR (for tfds:NAME).")
]
RawDir = Annotated[
    str | None, option(panel=DATA, metavar="DIR", help="Prepare data sets from the files in DIR (for tfds:NAME).")
]
TestSplit = Annotated[
    str | None,
    option("--split", panel=DATA, metavar="NAME", help="Test on this split: val, test[:50%] (for folder: and tfds:)."),
]
LIMIT = "Use at most N test images, a seeded subset."
Limit = Annotated[str | None, option(panel=DATA, metavar="N", default="all", help=LIMIT)]

Protocol = Annotated[
    str | None,
    option(
        panel=SHIFTS,
        metavar="NAME",
        default=DEFAULTS.protocols[0],
        help="Shift images by this protocol (see 'cnnshift list protocols').",
    ),
]
Shifts = Annotated[
    str | None,
    option(
        panel=SHIFTS,
        metavar="SET",
        default=DEFAULTS.shifts,
        help="Evaluate this set of shifts: grid, full, axis, diagonal or random:K.",
    ),
]
MaxShift = Annotated[
    str | None,
    option(panel=SHIFTS, metavar="PX", default=_range_default("max_shift"), help="Shift by at most PX pixels."),
]
Step = Annotated[
    str | None,
    option(
        panel=SHIFTS, metavar="PX", default=_range_default("step"), help="Space shifts by PX pixels: 2, 1/3 or 0.25."
    ),
]

Epochs = Annotated[
    str | None, option(panel=TRAINING, metavar="N", help="Train for N epochs; 0 leaves models untrained.")
]
Seed = Annotated[
    str | None,
    option(panel=TRAINING, metavar="N", default=DEFAULTS.seed, help="Use seed N for the (first) training run."),
]

Format = Annotated[
    str,
    option(
        panel=OUTPUT,
        metavar="NAME",
        default="table",
        help="Print the output in this format (see 'cnnshift list formats').",
    ),
]
Outputs = Annotated[
    list[Path] | None,
    option(
        "-o",
        "--output",
        panel=OUTPUT,
        metavar="FILE",
        help="Also write FILE in the format of its suffix: .md, .csv, .xml for junit (repeatable).",
    ),
]
