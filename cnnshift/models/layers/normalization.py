"""Normalisation, by name: `none`, `batch` or `layer`."""

from __future__ import annotations

from typing import Literal

from flax import nnx

Norm = Literal["none", "batch", "layer"]


def normalization(norm: Norm, channels: int, *, rngs: nnx.Rngs) -> nnx.BatchNorm | nnx.LayerNorm | None:
    """A normalisation layer, or None.

    `batch`: per channel over images and positions, ε 1e-5, momentum 0.9 (0.99, the library's default, would lag behind
    a short training). It starts in evaluation mode, with running statistics; `model.train()` switches.
    `layer`: over the channels of each position, ε 1e-5 (Liu et al. 2022, section 2.6), so that no position sees
    another one.
    """
    if norm == "batch":
        return nnx.BatchNorm(channels, use_running_average=True, momentum=0.9, epsilon=1e-5, rngs=rngs)
    return nnx.LayerNorm(channels, epsilon=1e-5, rngs=rngs) if norm == "layer" else None
