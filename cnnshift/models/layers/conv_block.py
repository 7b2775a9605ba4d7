"""A stack of blocks: weights, normalisation, activation, downsampling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import pydantic
from flax import nnx
from jaxtyping import Array, Float
from pydantic_core import PydanticCustomError

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.errors import InputError
from cnnshift.models.base import PoolingOptions
from cnnshift.models.layers.activation import MapActivationName, make_activation
from cnnshift.models.layers.block import Block, Shape, build_blocks
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.head import Head
from cnnshift.models.layers.normalization import Norm, make_norm
from cnnshift.models.layers.padding import Padding

ConvolutionFactory = Callable[..., nnx.Module]
"""(shape, outputs, kernel, *, padding, stride, bias, rngs) → a layer of weights: `Convolution`, `LocalConvolution`."""


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise PydanticCustomError("odd", "Input should be an odd number")
    return kernel


class ConvOptions(PoolingOptions):
    """`width` is that of the first block and doubles with every block; `kernel` is odd; `stride` is the pool's."""

    width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8
    depth: Annotated[int, pydantic.Field(ge=1, le=8)] = 3
    kernel: Annotated[int, pydantic.Field(ge=1, le=31), pydantic.AfterValidator(_odd)] = 3
    padding: Padding = "zero"
    head: Head = "flatten"
    activation: MapActivationName = "relu"
    norm: Norm = "none"
    stride: Annotated[int, pydantic.Field(ge=2, le=4)] = 2

    @pydantic.model_validator(mode="after")
    def _refuse_a_stride_of_nothing(self) -> ConvOptions:
        # Even the default: who writes it expects it to do something.
        if self.pool == "none" and "stride" in self.model_fields_set:
            raise InputError(f"stride is {self.stride}, but pool=none keeps the resolution; leave stride out.")
        return self


class ConvBlock(Block):
    """weights → normalisation → activation → downsampling.

    A stride belongs to the weights, and normalisation and activation see the pixels that are kept. Where the values are
    the same (see `Downsampler`), what is pointwise comes after the downsampling: max_i a(x_i + b) = a(max_i x_i + b)
    for an increasing a.
    """

    def __init__(self, weights: nnx.Module, norm: nnx.Module | None, activation: Any, pool: Downsampler) -> None:
        self.weights: Any = weights
        self.norm: Any = norm
        self.activation: Any = activation
        self.pool = None if pool.is_stride else pool
        self.pools_first = pool.is_stride or (pool.selects and self.activation.increasing)
        self.bias_last = self.pools_first and norm is None and isinstance(weights, Convolution)

    @property
    def stride(self) -> int:
        """By what the block divides the resolution."""
        return self.weights.stride * (self.pool.stride if self.pool else 1)

    @property
    def is_circular(self) -> bool:
        """The weights are shared by all positions, and what has borders wraps around."""
        return isinstance(self.weights, Convolution) and self.weights.padding == "circular"

    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """What comes before the resolution falls: nothing, where the weights have the stride."""
        if self.weights.stride > 1:
            return x
        x = self._weigh(x)
        return x if self.pools_first else self.activation(x)

    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The rest."""
        if self.weights.stride > 1:
            x = self._weigh(x)
        if self.pool is not None:
            x = self.pool(x)
        if not self.pools_first:
            return x
        return self.activation(self.weights.add_bias(x) if self.bias_last else x)

    def _weigh(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        x = self.weights.without_bias(x) if self.bias_last else self.weights(x)
        return x if self.norm is None else self.norm(x)


def make_conv_blocks(
    convolution_type: ConvolutionFactory, options: ConvOptions, input_shape: Shape, *, rngs: nnx.Rngs
) -> tuple[list[ConvBlock], Shape]:
    """`depth` blocks of which block i (from 0) has width · 2^i channels, and the shape (H, W, C) that they leave.

    Raises:
        InputError: a map shrinks below one pixel.
    """
    widths = [options.width * 2**index for index in range(options.depth)]
    makers = [partial(_make_block, convolution_type, options, width, rngs=rngs) for width in widths]
    return build_blocks(makers, input_shape, f"depth is {options.depth}")


def _make_block(
    convolution_type: ConvolutionFactory, options: ConvOptions, width: int, shape: Shape, *, rngs: nnx.Rngs
) -> ConvBlock:
    pool_type: type[Downsampler] = DOWNSAMPLERS.load(options.pool)
    weights = convolution_type(
        shape,
        width,
        options.kernel,
        padding=options.padding,
        stride=options.stride if pool_type.is_stride else 1,
        bias=options.norm != "batch",
        rngs=rngs,
    )
    pool = pool_type(width, padding=options.padding, options=options.pool_options, rngs=rngs, stride=options.stride)
    norm, activation = make_norm(options.norm, width, rngs=rngs), make_activation(options.activation, width)
    return ConvBlock(weights, norm, activation, pool)
