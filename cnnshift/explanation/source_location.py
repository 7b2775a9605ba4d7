"""Source location of a traced operation in the caller's code."""

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
"""Operations that only call another function; they are named after that function."""

_LIBRARIES = (
    *(f"{Path(inspect.getfile(package)).parent}{os.sep}" for package in (jax, flax)),
    str(hooks.__file__),
)
"""Files and folders whose frames are not the caller's code."""

_NAMING = re.compile(r"[/\\](flax|jax[/\\]_src[/\\](nn|numpy|lax|image))[/\\]")
"""Library folders whose public functions name the operation."""

_WRAPPERS = frozenset({"bind", "deferring_binary_op", "meth", "op", "wrapper"})
"""Library functions between a call and the function that it names."""


def source_location(eqn: Any) -> tuple[str, Any, str]:
    """Return the location of an operation as `file.py:line`, its exact expression, and the name of the function."""
    name = eqn.primitive.name
    if name in _TRANSPARENT:
        called = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
        name = str(eqn.params.get("name") or getattr(called.jaxpr.debug_info, "func_name", name))
    called = ""
    # Frames come innermost first: the first one outside the libraries is the caller's, the last one before it is the
    # function that was called.
    for code, instruction in zip(*eqn.source_info.traceback.raw_frames(), strict=True):
        if any(code.co_filename.startswith(folder) for folder in _LIBRARIES):
            if _NAMING.search(code.co_filename) and not code.co_name.startswith("_") and code.co_name not in _WRAPPERS:
                called = code.co_name
            continue
        span = next(itertools.islice(code.co_positions(), instruction // 2, None))
        location = f"{Path(code.co_filename).name}:{span[0]}"
        return location, (code.co_filename, span), name if name != eqn.primitive.name else called or name
    return "", None, name
