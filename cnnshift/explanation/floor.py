"""Numerical floor: the errors of an exactly equivariant network on this device at this precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.explanation.probe import probe_layers
from cnnshift.models.layers.convolution import Convolution

MARGIN = 10
"""Errors up to this multiple of the floor count as rounding."""

LEAST = 1e-5
"""Smallest tolerance: deep networks accumulate more rounding than the control network."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Rounding errors of the control network at whole-pixel and at sub-pixel shifts."""

    whole: float
    subpixel: float

    @property
    def whole_tolerance(self) -> float:
        """Largest error at a whole-pixel shift that counts as 0."""
        return max(MARGIN * self.whole, LEAST)

    @property
    def subpixel_tolerance(self) -> float:
        """Largest error at a sub-pixel shift that counts as 0."""
        return max(MARGIN * self.subpixel, LEAST)


def measure_floor(images: Float[np.ndarray, "n h w c"]) -> Floor:
    """Measure the errors of an exactly equivariant control network, through the same programs as any other network.

    The control is three circular convolutions of stride 1, each followed by ReLU. The sub-pixel floor is that of the
    first convolution, because a ReLU is not equivariant to sub-pixel shifts.
    """
    shape, rngs = images.shape[1:], nnx.Rngs(0)
    layers = [
        Convolution((shape[0], shape[1], channels), 8, 3, padding="circular", rngs=rngs)
        for channels in (shape[2], 8, 8)
    ]
    control = probe_layers(_Control(layers), images)
    return Floor(
        max(layer.on_grid_error or 0.0 for layer in control),
        control[0].subpixel_error or 0.0,
    )


class _Control(nnx.Module):
    def __init__(self, layers: Sequence[Convolution]) -> None:
        self.layers = nnx.List(layers)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w e"]:
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x
