"""A stage of a feature extractor: a part that is equivariant to every circular shift, then downsampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float

Shape = tuple[int, int, int]
"""(H, W, C) of a map."""

MapFunction = Callable[[Float[Array, "n h w c"]], Float[Array, "n H W C"]]


class Stage(NamedTuple):
    """x ↦ downsample(dense(x)) on maps [n h w c] with circular borders, in evaluation mode.

    Attributes:
        stride: s, the factor by which the stage divides the resolution (down to one position at most).
        dense: keeps the resolution and commutes with every circular shift by whole positions.
        downsample: commutes with circular shifts by multiples of s.
    """

    stride: int
    dense: MapFunction
    downsample: MapFunction
