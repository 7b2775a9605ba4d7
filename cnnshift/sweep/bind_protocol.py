"""Bind a shift protocol and its shifts to the images of a sweep."""

from __future__ import annotations

import logging
from fractions import Fraction

from cnnshift.config import SUBPIXEL_RANGE, WHOLE_PIXEL_RANGE
from cnnshift.data.split import Split
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.shifts.sets import ShiftSet, enumerate_shifts

log = logging.getLogger("cnnshift")


def bind_protocol(
    protocol: type[ShiftProtocol],
    split: Split,
    *,
    shifts: str = "grid",
    max_shift: Fraction | int | None = None,
    step: Fraction | int | None = None,
) -> tuple[ShiftProtocol, ShiftSet]:
    """Enumerate the shifts of a protocol on a data set, and construct the protocol with their reach.

    Args:
        protocol: class of the protocol.
        split: images.
        shifts: name of the shift set.
        max_shift: largest |d|∞ in pixels; None for the default of the protocol.
        step: spacing in pixels; None for the default of the protocol.

    Raises:
        InputError: the shifts do not fit the images, or the protocol does not fit the data set.
    """
    # Check the protocol before the shifts: "crop needs context" is more useful than "max-shift is too large".
    protocol(split.size, reach=0, context=split.context, background=split.background)
    default = SUBPIXEL_RANGE if protocol.fractional else WHOLE_PIXEL_RANGE
    shift_set = enumerate_shifts(
        shifts,
        max_shift=default.max_shift if max_shift is None else max_shift,
        step=default.step if step is None else step,
        size=split.size,
        wraps=protocol.wraps,
        images=len(split),
        fractional=protocol.fractional,
    )
    if shift_set.step.denominator == 2:
        log.warning(
            "--step is %s: a network that up-samples twofold is exactly equivariant to half-pixel shifts even if it "
            "aliases; use %s.", shift_set.step, SUBPIXEL_RANGE.step,
        )  # fmt: skip
    return protocol(split.size, reach=shift_set.reach, context=split.context, background=split.background), shift_set
