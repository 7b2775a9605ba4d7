"""A trunk in stages: what every shift passes through unharmed, and what only some do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float

MapFunction = Callable[[Float[Array, "n h w c"]], Float[Array, "n H W C"]]


class Stage(NamedTuple):
    """x ↦ downsample(dense(x)) on maps [n h w c] that wrap around, in evaluation mode.

    Attributes:
        stride: s, by which the stage divides the resolution (down to one position at most).
        dense: commutes with every circular shift by whole positions; keeps the resolution.
        downsample: commutes with circular shifts by multiples of s.
    """

    stride: int
    dense: MapFunction
    downsample: MapFunction
