"""cnnshift: are convolutional networks really invariant to translation?

The public names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cnnshift import errors

if TYPE_CHECKING:
    # What __getattr__ gives, for type checkers and editors.
    from cnnshift.bench.measure import measure
    from cnnshift.comparison.api import compare
    from cnnshift.data.split import Split
    from cnnshift.explanation.explain import explain
    from cnnshift.results.files import load_result
    from cnnshift.testing.equivariance import assert_shift_equivariant
    from cnnshift.testing.invariance import assert_shift_invariant

__version__ = "0.2.0"

_PUBLIC = {
    "assert_shift_equivariant": "cnnshift.testing.equivariance",
    "assert_shift_invariant": "cnnshift.testing.invariance",
    "compare": "cnnshift.comparison.api",
    "explain": "cnnshift.explanation.explain",
    "measure": "cnnshift.bench.measure",
    "load_result": "cnnshift.results.files",
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
    "load_result",
    "measure",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'cnnshift' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
