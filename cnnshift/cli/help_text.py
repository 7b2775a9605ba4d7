"""Help texts of options with their defaults, which `cnnshift.config` defines."""

from __future__ import annotations

from cnnshift.config import DEFAULTS, SUBPIXEL_RANGE, WHOLE_PIXEL_RANGE


def with_default(text: str, setting: str) -> str:
    """Append the default of a setting of `MeasureConfig`, if it has one."""
    default = getattr(DEFAULTS, setting)
    shown = " ".join(default) if isinstance(default, tuple) else default
    return f"{text} (default: {shown})" if shown not in (None, "", False) else text


def with_range_default(text: str, setting: str) -> str:
    """Append the default of `max_shift` or `step`, which depends on the shift protocol."""
    whole, subpixel = getattr(WHOLE_PIXEL_RANGE, setting), getattr(SUBPIXEL_RANGE, setting)
    return f"{text} (default: {whole}; {subpixel} for fourier and bilinear)"
