"""`resnet`: residual networks of basic blocks (He et al. 2016; with `preactivation`, He et al. 2016b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.activation import MapActivationName, make_activation
from cnnshift.models.layers.block import Block, output_shape
from cnnshift.models.layers.conv_block import ConvBlock
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.head import Head
from cnnshift.models.layers.normalization import Norm, make_norm
from cnnshift.models.layers.padding import Padding
from cnnshift.models.layers.residual import Residual
from cnnshift.models.nested_options import PoolingOptions
from cnnshift.models.stage import Shape

Depth = Literal["8", "14", "20", "32", "44", "56", "110", "18", "34"]


class ResnetOptions(PoolingOptions):
    """`depth`: 6n + 2 has three stages of n blocks (the paper's for CIFAR); 18 and 34 have four (for ImageNet).

    `width`: channels of the first stage (16 and 64 in the paper), doubled by every further stage. `stem`: `cifar` is a
    3×3 convolution, `imagenet` a 7×7 convolution of stride 2 and a pooling layer.
    """

    pool: str = "stride"
    depth: Depth = "8"
    width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8
    stem: Literal["cifar", "imagenet"] = "cifar"
    preactivation: bool = False
    padding: Padding = "zero"
    head: Head = "gap"
    activation: MapActivationName = "relu"
    norm: Norm = "batch"


class Resnet(ConvClassifier):
    """A stem, stages of `Residual` blocks, a head, one linear layer.

    The first block of every stage but the first halves the resolution. The `pool` layer implements every stride.
    A strided convolution of the paper becomes a convolution of stride 1, the activation, and the `pool` layer without
    its dense maximum. The max-pool of the stem becomes the `pool` layer with its dense maximum, over 2×2 instead of 3×3
    pixels.
    `pool=stride` gives the paper's strided convolutions. Where resolution or channels change, the shortcut is a 1×1
    convolution (option B; the paper's CIFAR networks have option A, without weights).
    """

    options_type = ResnetOptions
    version = 1

    @classmethod
    @override
    def make_blocks(
        cls, options: ResnetOptions, input_shape: Shape, *, rngs: nnx.Rngs
    ) -> tuple[Sequence[Block], Shape]:
        pool_type: type[Downsampler] = DOWNSAMPLERS.load(options.pool)
        blocks, inputs = _stem(options, pool_type, input_shape[2], rngs=rngs), options.width
        for stage, count in enumerate(_blocks_per_stage(int(options.depth))):
            for index in range(count):
                outputs = options.width * 2**stage
                downsamples = stage > 0 and index == 0
                blocks.append(Residual((inputs, outputs), options, downsamples=downsamples, rngs=rngs))
                inputs = outputs
        if options.preactivation:
            norm = make_norm(options.norm, inputs, rngs=rngs)
            blocks.append(FinalActivation(norm, make_activation(options.activation, inputs)))
        return blocks, output_shape(blocks, input_shape, f"depth is {options.depth}")


class PoolBlock(Block):
    """A pooling layer as a block."""

    def __init__(self, layer: Downsampler) -> None:
        self.layer = layer
        self.stride = layer.stride
        self.is_circular = layer.padding == "circular"

    @override
    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        return self.layer(x)


class FinalActivation(Block):
    """The normalization and activation after the last pre-activation block."""

    def __init__(self, norm: nnx.Module | None, activation: nnx.Module) -> None:
        self.norm: Any = norm
        self.activation: Any = activation

    @override
    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        return self.activation(x if self.norm is None else self.norm(x))


def _blocks_per_stage(depth: int) -> Sequence[int]:
    # Every block has two weight layers; the stem and the linear layer are two more.
    return {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}.get(depth) or [(depth - 2) // 6] * 3


def _stem(options: ResnetOptions, pool_type: type[Downsampler], channels: int, *, rngs: nnx.Rngs) -> list[Block]:
    # With pre-activation, the normalization and activation of the stem belong to the first block.
    large, bare = options.stem == "imagenet", options.preactivation
    kernel = 7 if large else 3
    weights = Convolution(
        (kernel, kernel, channels),
        options.width,
        kernel,
        padding=options.padding,
        stride=2 if large and pool_type.is_stride else 1,
        bias=options.norm != "batch",
        rngs=rngs,
    )
    norm = None if bare else make_norm(options.norm, options.width, rngs=rngs)
    activation = make_activation("identity" if bare else options.activation, options.width)

    def layer(kind: type[Downsampler], maximum: bool) -> Downsampler:
        layer_options = options.pool_options if kind is pool_type else kind.options_type()
        return kind(options.width, padding=options.padding, options=layer_options, rngs=rngs, maximum=maximum)

    if not large:
        return [ConvBlock(weights, norm, activation, layer(DOWNSAMPLERS.load("none"), maximum=False))]
    return [
        ConvBlock(weights, norm, activation, layer(pool_type, maximum=False)),
        PoolBlock(layer(pool_type, maximum=True)),
    ]
