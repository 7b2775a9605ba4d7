"""Whether layers are traced for another format, and not for the processor that is here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

_portable: ContextVar[bool] = ContextVar("export_mode", default=False)


@contextlib.contextmanager
def export_mode() -> Iterator[None]:
    """Within it, convolutions are traced as the library's and nothing else."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def runs_on_cpu() -> bool:
    """Whether to write layers in the way that is fast on this processor."""
    return jax.default_backend() == "cpu" and not _portable.get()
