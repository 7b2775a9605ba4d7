"""`vgg`: groups of 3×3 convolutions, each followed by pooling (Simonyan & Zisserman 2015, table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import pydantic
from flax import nnx
from typing_extensions import override

from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.activation import MapActivationName
from cnnshift.models.layers.block import Block, output_shape
from cnnshift.models.layers.conv_block import make_conv_block
from cnnshift.models.layers.head import Head
from cnnshift.models.layers.normalization import Norm
from cnnshift.models.layers.padding import Padding
from cnnshift.models.nested_options import PoolingOptions
from cnnshift.models.stage import Shape

_GROUPS = {
    "7": (2, 2, 2),
    "11": (1, 1, 2, 2, 2),
    "13": (2, 2, 2, 2, 2),
    "16": (2, 2, 3, 3, 3),
    "19": (2, 2, 4, 4, 4),
}
"""Convolutions per group: columns A, B, D and E of the paper's table 1, and the small default of cnnshift."""


class VggOptions(PoolingOptions):
    """`width`: channels of the first group (64 in the paper), doubled by every further group up to 8 · width.

    `depth`: the paper's number of layers, two fully connected ones included that this network does not have. The small
    7 counts the six convolutions and the linear layer.
    """

    depth: Literal["7", "11", "13", "16", "19"] = "7"
    width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8
    padding: Padding = "zero"
    head: Head = "flatten"
    activation: MapActivationName = "relu"
    norm: Norm = "batch"


class Vgg(ConvClassifier):
    """Groups of convolutions, a head, one linear layer. The `pool` layer follows the last convolution of a group.

    The variant for small images: batch normalization (Ioffe & Szegedy 2015), which the paper does not have, and one
    linear layer instead of three.
    """

    options_type = VggOptions
    version = 1

    @classmethod
    @override
    def make_blocks(cls, options: VggOptions, input_shape: Shape, *, rngs: nnx.Rngs) -> tuple[Sequence[Block], Shape]:
        blocks, inputs = [], input_shape[2]
        for group, count in enumerate(_GROUPS[options.depth]):
            outputs = options.width * min(2**group, 8)
            for index in range(count):
                pool = None if index == count - 1 else "none"
                blocks.append(make_conv_block(options, outputs, 3, (3, 3, inputs), pool=pool, rngs=rngs))
                inputs = outputs
        return blocks, output_shape(blocks, input_shape, f"depth is {options.depth}")
