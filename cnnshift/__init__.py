"""cnnshift: are convolutional networks really invariant to translation?

The public names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "assert_shift_equivariant": "cnnshift.testing.equivariance",
    "assert_shift_invariant": "cnnshift.testing.invariance",
    "measure": "cnnshift.bench.measure",
    "load_result": "cnnshift.results.files",
}

__all__ = ["__version__", "assert_shift_equivariant", "assert_shift_invariant", "load_result", "measure"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'cnnshift' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
