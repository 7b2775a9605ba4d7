"""`vgg`: groups of 3×3 convolutions, each ended by pooling (Simonyan & Zisserman 2015, table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import pydantic
from flax import nnx

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.models.base import PoolingOptions
from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.activation import MapActivationName, make_activation
from cnnshift.models.layers.block import Block, output_shape
from cnnshift.models.layers.conv_block import ConvBlock
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.head import Head
from cnnshift.models.layers.normalization import Norm, make_norm
from cnnshift.models.layers.padding import Padding

_GROUPS = {
    "7": (2, 2, 2),
    "11": (1, 1, 2, 2, 2),
    "13": (2, 2, 2, 2, 2),
    "16": (2, 2, 3, 3, 3),
    "19": (2, 2, 4, 4, 4),
}
"""Convolutions per group: columns A, B, D and E of the paper's table 1, and the zoo's small default."""


class VggOptions(PoolingOptions):
    """`width` is that of the first group and doubles with every group, up to 8 · width; 64 in the paper.

    `depth` names the paper's network: two of its layers are fully connected ones that are not here. The small 7 counts
    what is here, six convolutions and the linear layer.
    """

    depth: Literal["7", "11", "13", "16", "19"] = "7"
    width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8
    padding: Padding = "zero"
    head: Head = "flatten"
    activation: MapActivationName = "relu"
    norm: Norm = "batch"


class Vgg(ConvClassifier):
    """Groups of convolutions, a head, one linear layer.

    The last convolution of every group is followed by the `pool` layer. This is the variant for small images: batch
    normalisation (Ioffe & Szegedy 2015), which the paper does not have yet, and one linear layer in place of three.
    """

    options_type = VggOptions
    version = 1

    @classmethod
    def make_blocks(
        cls, options: VggOptions, input_shape: tuple[int, int, int], *, rngs: nnx.Rngs
    ) -> tuple[Sequence[Block], tuple[int, int, int]]:
        """One block per convolution."""
        pool_type: type[Downsampler] = DOWNSAMPLERS.load(options.pool)
        keep: type[Downsampler] = DOWNSAMPLERS.load("none")
        blocks, inputs = [], input_shape[2]
        for group, count in enumerate(_GROUPS[options.depth]):
            outputs = options.width * min(2**group, 8)
            for index in range(count):
                last = index == count - 1
                weights = Convolution(
                    (3, 3, inputs),
                    outputs,
                    3,
                    padding=options.padding,
                    stride=2 if last and pool_type.is_stride else 1,
                    bias=options.norm != "batch",
                    rngs=rngs,
                )
                pool = (
                    pool_type(outputs, padding=options.padding, options=options.pool_options, rngs=rngs)
                    if last
                    else keep(outputs, padding=options.padding, options=keep.options_type(), rngs=rngs)
                )
                norm, activate = (
                    make_norm(options.norm, outputs, rngs=rngs),
                    make_activation(options.activation, outputs),
                )
                blocks.append(ConvBlock(weights, norm, activate, pool))
                inputs = outputs
        return blocks, output_shape(blocks, input_shape, f"depth is {options.depth}")
