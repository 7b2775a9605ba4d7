"""Where an operation of a trace comes from, in the caller's code."""

from __future__ import annotations

import inspect
import itertools
import os
import re
from pathlib import Path
from typing import Any

import flax
import jax

from cnnshift.explanation import hooks

_TRANSPARENT = frozenset({"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"})
"""Operations that only call others; their name is that of what they call."""


def source_location(eqn: Any) -> tuple[str, Any, str]:
    """Where in the caller's code an operation comes from: file and line, the exact expression, what it calls."""
    name = eqn.primitive.name
    if name in _TRANSPARENT:
        called = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
        name = str(eqn.params.get("name") or getattr(called.jaxpr.debug_info, "func_name", name))
    called = ""
    # Innermost first: the first frame that no library has is the caller's, the one before it is what was called.
    for code, instruction in zip(*eqn.source_info.traceback.raw_frames(), strict=True):
        if any(code.co_filename.startswith(folder) for folder in _LIBRARIES):
            if _NAMING.search(code.co_filename) and not code.co_name.startswith("_") and code.co_name not in _WRAPPERS:
                called = code.co_name
            continue
        span = next(itertools.islice(code.co_positions(), instruction // 2, None))
        place = f"{Path(code.co_filename).name}:{span[0]}"
        return place, (code.co_filename, span), name if name != eqn.primitive.name else called or name
    return "", None, name


_LIBRARIES = (
    *(f"{Path(inspect.getfile(package)).parent}{os.sep}" for package in (jax, flax)),
    str(hooks.__file__),
)

_NAMING = re.compile(r"[/\\](flax|jax[/\\]_src[/\\](nn|numpy|lax|image))[/\\]")
"""Folders of the libraries whose functions are what a caller calls by name."""

_WRAPPERS = frozenset({"bind", "deferring_binary_op", "meth", "op", "wrapper"})
"""Functions in them that stand between a call and what is called."""
