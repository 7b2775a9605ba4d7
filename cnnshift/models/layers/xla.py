"""Functions that XLA compiles as separate computations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def jit_noinline(function: Callable[..., Any], **jit_options: Any) -> Callable[..., Any]:
    """Compile a function as a separate computation, even within a larger program.

    On a CPU, XLA may fuse a chain of multiplications and additions into each of its consumers. The chain is then
    computed several times, element by element, instead of once with vector instructions (for a first convolution before
    a pool: 20 µs per image against 4 µs). The values are the same. Other platforms ignore the attribute.

    Args:
        function: a pure function of arrays.
        jit_options: options of `jax.jit`, for example `static_argnums`.
    """
    compiled = jax.jit(function, **jit_options)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with set_xla_metadata(inlineable="false"):
            return compiled(*args)

    return call
