"""The numerical floor: what an exactly equivariant network gives on this device, at this precision."""

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
"""An error is that of an exact layer up to so many times the floor."""

LEAST = 1e-5
"""And in any case up to this: deep networks round more often than the control."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What an exactly equivariant network gives here: rounding, for whole shifts and for those by a fraction."""

    whole: float
    subpixel: float

    @property
    def whole_tolerance(self) -> float:
        """Largest error at a whole shift that counts as none."""
        return max(MARGIN * self.whole, LEAST)

    @property
    def subpixel_tolerance(self) -> float:
        """The same for fractions of a pixel."""
        return max(MARGIN * self.subpixel, LEAST)


def measure_floor(images: Float[np.ndarray, "n h w c"]) -> Floor:
    """The errors of an exact network through the same programs: the rounding of this device at this precision.

    Three circular convolutions at stride 1 with ReLU after each for whole shifts; the first one, before its ReLU, for
    fractions.
    """
    shape, rngs = images.shape[1:], nnx.Rngs(0)
    layers = [
        Convolution((shape[0], shape[1], before), 8, 3, padding="circular", rngs=rngs) for before in (shape[2], 8, 8)
    ]
    control = probe_layers(_Control(layers), images)
    return Floor(
        max(float(layer.profile.error[layer.profile.size >= 1].max()) for layer in control),
        float(control[0].profile.error[control[0].profile.size < 1].max()),
    )


class _Control(nnx.Module):
    """Convolutions with ReLU after each."""

    def __init__(self, layers: Sequence[Convolution]) -> None:
        self.layers = nnx.List(layers)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w e"]:
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x
