"""`coordconv`: the network of `cnn`, told where it is (Liu et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.block import Block
from cnnshift.models.layers.conv_block import ConvOptions
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.stage import Stage


class CoordconvOptions(ConvOptions):
    """`coordinates=input`: the image has them as two more channels; `none` is the network of `cnn`."""

    coordinates: Literal["input", "none"] = "input"


class Coordconv(ConvClassifier):
    """Blocks of convolutions whose first sees, beside the image, the row and the column of every pixel (section 3).

    Both run from −1 at the first pixel to 1 at the last (an axis of one pixel has −1). They stay where they are when
    the image moves: a positive control for what a network can leak about positions, with any padding and any head.
    """

    options_type = CoordconvOptions
    version = 1
    convolution_type = Convolution

    def __init__(
        self, options: CoordconvOptions, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs
    ) -> None:
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.coordinates = options.coordinates

    @classmethod
    def make_blocks(
        cls, options: CoordconvOptions, input_shape: tuple[int, int, int], *, rngs: nnx.Rngs
    ) -> tuple[Sequence[Block], tuple[int, int, int]]:
        """The blocks of an image with two more channels."""
        height, width, channels = input_shape
        more = 2 if options.coordinates == "input" else 0
        return super().make_blocks(options, (height, width, channels + more), rngs=rngs)

    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        """None with coordinates: they do not wrap around."""
        return None if self.coordinates == "input" else super().circular_stages(size)

    @classmethod
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        """No coordinates, then those of every family of blocks."""
        own = {"position embedding": {"coordinates": "none"}} if options.coordinates == "input" else {}
        return own | dict(super().interventions(options))

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The last block's map."""
        return super().features(with_coordinates(images) if self.coordinates == "input" else images)


def with_coordinates(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c2"]:
    """The images, with the row and the column of every pixel as two more channels."""
    count, height, width, _ = images.shape
    rows, columns = (jnp.linspace(-1, 1, size, dtype=images.dtype) for size in (height, width))
    grid = jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"), axis=-1)
    return jnp.concatenate([images, jnp.broadcast_to(grid[None], (count, height, width, 2))], axis=-1)
