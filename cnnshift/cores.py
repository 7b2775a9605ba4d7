"""Number of processor cores and of concurrent calls on a CPU."""

from __future__ import annotations

import os

MAX_WORKERS = 8
"""Limit of `num_workers`: each worker holds the activations of a batch."""


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_workers() -> int:
    """Return the number of concurrent calls: one per core, at most `MAX_WORKERS`."""
    return min(usable_cores(), MAX_WORKERS)
