"""What every pooling layer is called with, and the size it leaves."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.base import Options
from cnnshift.models.layers.padding import Padding


class Downsampler(nnx.Module):
    """A layer that halves the resolution (or keeps it, for `none`).

    Args:
        channels: of its input and output.
        padding: the family's; what a layer with overlapping windows sees beyond the border.
        options: the layer's own.
        rngs: of a layer with weights.
    """

    options_type: ClassVar[type[Options]] = Options

    def __init__(self, channels: int, *, padding: Padding, options: Options, rngs: nnx.Rngs) -> None:
        self.padding: Padding = padding

    @abstractmethod
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Downsample a batch of maps."""
