"""Blocks of a convolution, a normalization, an activation and a pooling layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import pydantic
from flax import nnx
from jaxtyping import Array, Float
from pydantic_core import PydanticCustomError
from typing_extensions import override

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.errors import InputError
from cnnshift.models.layers.activation import MapActivationName, make_activation
from cnnshift.models.layers.block import Block, build_blocks
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.head import Head
from cnnshift.models.layers.normalization import Norm, make_norm
from cnnshift.models.layers.padding import Padding
from cnnshift.models.nested_options import PoolingOptions
from cnnshift.models.stage import Shape

ConvolutionFactory = Callable[..., nnx.Module]
"""(shape, outputs, kernel, *, padding, stride, bias, rngs) → `Convolution` or `LocalConvolution`."""


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise PydanticCustomError("odd", "Input should be an odd number")
    return kernel


class ConvOptions(PoolingOptions):
    """`width`: channels of the first block, doubled by every further block. `stride`: of the pooling layers."""

    width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8
    depth: Annotated[int, pydantic.Field(ge=1, le=8)] = 3
    kernel: Annotated[int, pydantic.Field(ge=1, le=31), pydantic.AfterValidator(_odd)] = 3
    padding: Padding = "zero"
    head: Head = "flatten"
    activation: MapActivationName = "relu"
    norm: Norm = "none"
    stride: Annotated[int, pydantic.Field(ge=2, le=4)] = 2

    @pydantic.model_validator(mode="after")
    def _refuse_unused_stride(self) -> ConvOptions:
        # Refuse the default value too: a user who writes it expects an effect.
        if self.pool == "none" and "stride" in self.model_fields_set:
            raise InputError(f"stride is {self.stride}, but pool=none keeps the resolution; leave stride out.")
        return self


class ConvBlock(Block):
    """Convolution → normalization → activation → pooling.

    With `pool=stride` the convolution takes the stride, and normalization and activation read the remaining pixels
    only. Pointwise operations run after the pooling where the values stay the same (see `Downsampler.selects`): max_i
    a(x_i + b) = a(max_i x_i + b) for an increasing activation a.
    """

    def __init__(self, weights: nnx.Module, norm: nnx.Module | None, activation: Any, pool: Downsampler) -> None:
        self.weights: Any = weights
        self.norm: Any = norm
        self.activation: Any = activation
        self.pool = None if pool.is_stride else pool
        self.pools_first = pool.is_stride or (pool.selects and self.activation.increasing)
        self.bias_last = self.pools_first and norm is None and isinstance(weights, Convolution)
        self.stride = self.weights.stride * (self.pool.stride if self.pool else 1)
        self.is_circular = isinstance(weights, Convolution) and weights.padding == "circular"

    @override
    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        if self.weights.stride > 1:
            return x
        x = self._convolve(x)
        return x if self.pools_first else self.activation(x)

    @override
    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        if self.weights.stride > 1:
            x = self._convolve(x)
        if self.pool is not None:
            x = self.pool(x)
        if not self.pools_first:
            return x
        return self.activation(self.weights.add_bias(x) if self.bias_last else x)

    def _convolve(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        x = self.weights.without_bias(x) if self.bias_last else self.weights(x)
        return x if self.norm is None else self.norm(x)


def make_conv_block(
    options: Any,
    width: int,
    kernel: int,
    shape: Shape,
    *,
    convolution_type: ConvolutionFactory = Convolution,
    pool: str | None = None,
    stride: int = 2,
    rngs: nnx.Rngs,
) -> ConvBlock:
    """Build a block with `width` output channels for maps of a shape (H, W, C).

    `options` has the fields padding, norm, activation, pool and pool_options. `pool` names a pooling layer to use
    instead, with its default options; `stride` is that of the pooling layer.
    """
    pool_type: type[Downsampler] = DOWNSAMPLERS.load(pool or options.pool)
    weights = convolution_type(
        shape,
        width,
        kernel,
        padding=options.padding,
        stride=stride if pool_type.is_stride else 1,
        bias=options.norm != "batch",
        rngs=rngs,
    )
    pool_options = pool_type.options_type() if pool else options.pool_options
    layer = pool_type(width, padding=options.padding, options=pool_options, rngs=rngs, stride=stride)
    norm = make_norm(options.norm, width, rngs=rngs)
    return ConvBlock(weights, norm, make_activation(options.activation, width), layer)


def make_conv_blocks(
    convolution_type: ConvolutionFactory, options: ConvOptions, input_shape: Shape, *, rngs: nnx.Rngs
) -> tuple[list[ConvBlock], Shape]:
    """Build `depth` blocks, block i (from 0) with width · 2^i channels; return them and the shape of the last map.

    Raises:
        InputError: a map shrinks below one pixel.
    """
    factories = [
        partial(
            make_conv_block,
            options,
            options.width * 2**index,
            options.kernel,
            convolution_type=convolution_type,
            stride=options.stride,
            rngs=rngs,
        )
        for index in range(options.depth)
    ]
    return build_blocks(factories, input_shape, f"depth is {options.depth}")
