"""The array annotations of jaxtyping, for the modules that `cnnshift compare` imports.

Importing jaxtyping takes as long as comparing two results. Only type checkers, and tests that check shapes, need it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Real, Shaped
else:

    class _Unchecked:
        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Int = Real = Shaped = _Unchecked

__all__ = ["Bool", "Float", "Int", "Real", "Shaped"]
