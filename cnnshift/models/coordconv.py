"""`coordconv`: `cnn` with the coordinates of every pixel as input channels (Liu et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.block import Block
from cnnshift.models.layers.conv_block import ConvOptions
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.stage import Shape, Stage


class CoordconvOptions(ConvOptions):
    """`coordinates=input` adds two channels to the images; `none` gives the network of `cnn`."""

    coordinates: Literal["input", "none"] = "input"


class Coordconv(ConvClassifier):
    """The network of `cnn` on images with two more channels, the row and the column of every pixel (section 3).

    Coordinates run from −1 at the first pixel to 1 at the last (−1 on an axis of one pixel). They do not move with the
    image: a positive control for position information, with any padding and head.
    """

    options_type = CoordconvOptions
    version = 1
    convolution_type = Convolution

    def __init__(self, options: CoordconvOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.coordinates = options.coordinates

    @classmethod
    @override
    def make_blocks(
        cls, options: CoordconvOptions, input_shape: Shape, *, rngs: nnx.Rngs
    ) -> tuple[Sequence[Block], Shape]:
        height, width, channels = input_shape
        more = 2 if options.coordinates == "input" else 0
        return super().make_blocks(options, (height, width, channels + more), rngs=rngs)

    @override
    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        return None if self.coordinates == "input" else super().circular_stages(size)

    @classmethod
    @override
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        found = {"position embedding": {"coordinates": "none"}} if options.coordinates == "input" else {}
        return found | dict(super().interventions(options))

    @override
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        return super().features(with_coordinates(images) if self.coordinates == "input" else images)


def with_coordinates(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c2"]:
    """Append the row and the column of every pixel as two channels."""
    count, height, width, _ = images.shape
    rows, columns = (jnp.linspace(-1, 1, size, dtype=images.dtype) for size in (height, width))
    grid = jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"), axis=-1)
    return jnp.concatenate([images, jnp.broadcast_to(grid[None], (count, height, width, 2))], axis=-1)
