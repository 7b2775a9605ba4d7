"""How many calls go on at a time on a CPU."""

from __future__ import annotations

import os

MAX_LANES = 8
"""Each lane holds a batch's activations of its own."""


def usable_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lanes() -> int:
    """Calls at a time: one for each core, up to a limit."""
    return min(usable_cores(), MAX_LANES)
