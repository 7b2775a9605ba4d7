"""Numerical floor: the errors of an exactly equivariant network on this device at this precision."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from cnnshift.explanation.probe import probe_layers
from cnnshift.models.layers.convolution import Convolution


@dataclass(frozen=True, slots=True)
class Floor:
    """Rounding errors of the control network at whole-pixel and at sub-pixel shifts.

    Errors up to 10 times these, or 1e-5, count as rounding: deep networks accumulate more error than the control.
    """

    whole: float
    subpixel: float

    @property
    def whole_tolerance(self) -> float:
        """Largest error at a whole-pixel shift that counts as 0."""
        return max(10 * self.whole, 1e-5)

    @property
    def subpixel_tolerance(self) -> float:
        """Largest error at a sub-pixel shift that counts as 0."""
        return max(10 * self.subpixel, 1e-5)


def measure_floor(images: Float[np.ndarray, "n h w c"]) -> Floor:
    """Measure the errors of an exactly equivariant control network, through the same programs as any other network.

    The control is three circular convolutions of stride 1, each followed by ReLU. The sub-pixel floor is that of the
    first convolution, because a ReLU is not equivariant to sub-pixel shifts.
    """
    (height, width, channels), rngs = images.shape[1:], nnx.Rngs(0)
    layers = []
    for each in (channels, 8, 8):
        layers += [Convolution((height, width, each), 8, 3, padding="circular", rngs=rngs), jax.nn.relu]
    control = probe_layers(nnx.Sequential(*layers), images)
    return Floor(max(layer.on_grid_error or 0.0 for layer in control), control[0].subpixel_error or 0.0)
