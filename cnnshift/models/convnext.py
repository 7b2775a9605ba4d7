"""`convnext`: depthwise 7×7 convolutions in inverted bottlenecks (Liu et al. 2022)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import pydantic
from flax import nnx
from jaxtyping import Array, Float
from pydantic_core import PydanticCustomError
from typing_extensions import override

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.activation import Activation, ActivationName
from cnnshift.models.layers.block import Block, output_shape
from cnnshift.models.layers.depthwise import Depthwise
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.head import Head
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.layers.padding import Padding, align_shortcut
from cnnshift.models.layers.patch_convolution import PatchConvolution
from cnnshift.models.nested_options import PoolingOptions
from cnnshift.models.stage import Shape, Stage

KERNEL, EXPANSION, LAYER_SCALE = 7, 4, 1e-6


def _check_depths(depths: str) -> str:
    if not re.fullmatch(r"[1-9]\d?(-[1-9]\d?){0,5}", depths):
        raise PydanticCustomError("depths", "Input should be 1 to 6 numbers of blocks from 1 to 99, such as 3-3-9-3")
    return depths


class ConvnextOptions(PoolingOptions):
    """`depths`: blocks per stage. `width`: channels of the first stage, doubled by every further stage.

    `patch`: side of the stem's patches. ConvNeXt-T is `depths=3-3-9-3,width=96,patch=4`.
    """

    pool: str = "stride"
    depths: Annotated[str, pydantic.AfterValidator(_check_depths)] = "1-1"
    width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 16
    patch: Literal["1", "2", "4", "8"] = "2"
    padding: Padding = "zero"
    head: Head = "gap"
    activation: ActivationName = "gelu"


class Convnext(ConvClassifier):
    """A stem of patches, stages of blocks with 2×2 patch convolutions between them, a head, one linear layer.

    The `pool` layer implements every stride (see `PatchConvolution`); `pool=stride` is the paper's network. The last
    layer normalization follows the head, as in the paper; with `head=flatten` it precedes the head, so that the linear
    layer reads the feature map. Weights start He-normal (the paper: normal with deviation 0.02). There is no stochastic
    depth.
    """

    options_type = ConvnextOptions
    version = 1

    def __init__(self, options: ConvnextOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(options, input_shape, classes, rngs=rngs)
        channels = options.width * 2 ** options.depths.count("-")
        self.norm: Any = make_norm("layer", channels, rngs=rngs)

    @classmethod
    @override
    def make_blocks(
        cls, options: ConvnextOptions, input_shape: Shape, *, rngs: nnx.Rngs
    ) -> tuple[Sequence[Block], Shape]:
        pool_type: type[Downsampler] = DOWNSAMPLERS.load(options.pool)
        blocks, inputs = [], input_shape[2]
        for stage, count in enumerate(map(int, options.depths.split("-"))):
            outputs, patch = options.width * 2**stage, 2 if stage else int(options.patch)
            pools = [
                pool_type(outputs, padding=options.padding, options=options.pool_options, rngs=rngs, maximum=False)
                for _ in range(patch.bit_length() - 1)
            ]
            blocks.append(
                PatchConvolution(
                    (inputs, outputs),
                    patch,
                    padding=options.padding,
                    pools=pools,
                    norm_before=stage > 0,
                    norm_after=stage == 0,
                    rngs=rngs,
                )
            )
            blocks += [
                ConvNextBlock(outputs, padding=options.padding, activation=options.activation, rngs=rngs)
                for _ in range(count)
            ]
            inputs = outputs
        return blocks, output_shape(blocks, input_shape, f"depths is {options.depths}")

    @override
    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        found = super().circular_stages(size)
        if found is None or self.readout != "flatten":
            return found
        *others, last = found
        return [*others, last._replace(downsample=lambda x: self.norm(last.downsample(x)))]

    @classmethod
    @override
    def is_alias_free(cls, options: ConvnextOptions) -> bool:
        # Layer normalization of single positions creates frequencies above Nyquist.
        return False

    @override
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        x = super().features(images)
        return self.norm(x) if self.readout == "flatten" else x

    @override
    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        x = super().embed(features)
        return x if self.readout == "flatten" else self.norm(x)


class ConvNextBlock(Block):
    """x + γ ⊙ (W₂ a(W₁ n(d(x)))): depthwise 7×7 d, layer normalization n, 4 times the channels between W₁ and W₂.

    The inverted bottleneck of the paper's figure 4. γ (layer scale, Touvron et al. 2021) has one value per channel and
    starts at 1e-6.
    """

    def __init__(self, channels: int, *, padding: Padding, activation: ActivationName, rngs: nnx.Rngs) -> None:
        start = he_normal()
        self.depthwise = Depthwise(channels, KERNEL, padding=padding, rngs=rngs)
        self.norm: Any = make_norm("layer", channels, rngs=rngs)
        self.expand = nnx.Linear(channels, EXPANSION * channels, kernel_init=start, rngs=rngs)
        self.activation = Activation(activation)
        self.contract = nnx.Linear(EXPANSION * channels, channels, kernel_init=start, rngs=rngs)
        self.scale = nnx.Param(jnp.full(channels, LAYER_SCALE))
        self.is_circular = padding == "circular"

    @override
    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        y = self.contract(self.activation(self.expand(self.norm(self.depthwise(x)))))
        return align_shortcut(x, KERNEL, self.depthwise.padding) + self.scale[...][None, None, None] * y
