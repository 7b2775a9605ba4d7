"""Measure the translation invariance of image classifiers.

Public names are imported on first use, so that `import cnnshift` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cnnshift import errors

if TYPE_CHECKING:
    # For type checkers and editors; at run time, __getattr__ imports these names.
    from cnnshift.api import compare, explain, load_observations, load_result, measure
    from cnnshift.data.split import Split
    from cnnshift.testing.equivariance import assert_shift_equivariant
    from cnnshift.testing.invariance import assert_shift_invariant

__version__ = "0.2.0"

_PUBLIC = {
    "assert_shift_equivariant": "cnnshift.testing.equivariance",
    "assert_shift_invariant": "cnnshift.testing.invariance",
    "compare": "cnnshift.api",
    "explain": "cnnshift.api",
    "load_observations": "cnnshift.api",
    "load_result": "cnnshift.api",
    "measure": "cnnshift.api",
    "Split": "cnnshift.data.split",
}

__all__ = [
    "Split",
    "__version__",
    "assert_shift_equivariant",
    "assert_shift_invariant",
    "compare",
    "errors",
    "explain",
    "load_observations",
    "load_result",
    "measure",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'cnnshift' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
