"""Normalisation, by name: `none`, `batch` (momentum 0.9, ε 1e-5) or `layer` (over the channels of each position)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from flax import nnx
from jaxtyping import Array

Norm = Literal["none", "batch", "layer"]


def normalization(norm: Norm, channels: int, *, rngs: nnx.Rngs) -> Callable[[Array], Array] | None:
    """A normalisation layer, or None. Momentum 0.99, the library's default, would lag behind a short training."""
    if norm == "batch":
        return nnx.BatchNorm(channels, momentum=0.9, epsilon=1e-5, rngs=rngs)
    return nnx.LayerNorm(channels, epsilon=1e-5, rngs=rngs) if norm == "layer" else None
