"""The mode in which layers are traced for export to another format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

_exporting: ContextVar[bool] = ContextVar("export_mode", default=False)


@contextlib.contextmanager
def export_mode() -> Iterator[None]:
    """Trace convolutions as `lax.conv_general_dilated` only, within this context."""
    token = _exporting.set(True)
    try:
        yield
    finally:
        _exporting.reset(token)


def runs_on_cpu() -> bool:
    """Return whether layers should use their formulations for CPUs."""
    return jax.default_backend() == "cpu" and not _exporting.get()
