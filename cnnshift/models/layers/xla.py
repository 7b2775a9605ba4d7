"""How XLA compiles the layers: formulations for CPUs or for export, and separate computations."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata

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


def jit_noinline(function: Callable[..., Any], **jit_options: Any) -> Callable[..., Any]:
    """Compile a function as a separate computation, even within a larger program.

    On a CPU, XLA may fuse a chain of multiplications and additions into each of its consumers. The chain is then
    computed several times, element by element, instead of once with vector instructions (for a first convolution before
    a pool: 20 µs per image against 4 µs). The values are the same. Other platforms ignore the attribute.
    """
    compiled = jax.jit(function, **jit_options)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with set_xla_metadata(inlineable="false"):
            return compiled(*args)

    return call
