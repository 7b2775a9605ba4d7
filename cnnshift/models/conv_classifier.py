"""The classifier of families with convolutional blocks: blocks, a head and one linear layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.models.base import Classifier
from cnnshift.models.layers.activation import ALIAS_FREE
from cnnshift.models.layers.block import Block, apply_layers, group_stages
from cnnshift.models.layers.conv_block import ConvolutionFactory, ConvOptions, make_conv_blocks
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.head import Head, apply_head, embedding_size, make_attention_pool
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.stage import Shape, Stage


class ConvClassifier(Classifier):
    """Blocks, a head, one linear layer.

    By default `depth` blocks of convolution, normalization, activation and pooling; block i (from 0) has width · 2^i
    channels. Other families override `make_blocks`. Convolutions have a bias unless batch normalization follows. All
    weights start He-normal over the fan-in, biases at 0.

    Class attributes:
        convolution_type: class of the convolutions of the default blocks.
    """

    options_type = ConvOptions
    convolution_type: ClassVar[ConvolutionFactory]

    def __init__(self, options: Any, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        blocks, shape = type(self).make_blocks(options, input_shape, rngs=rngs)
        self.blocks = nnx.List(blocks)
        self.total_stride = math.prod(block.stride for block in blocks)
        self.readout: Head = options.head
        self.readout_kind = "linear" if self.readout == "flatten" else "global"
        self.attention = make_attention_pool(options.head, shape[2], rngs=rngs)
        size = embedding_size(*shape, options.head)
        self.classifier = nnx.Linear(size, classes, kernel_init=he_normal(), rngs=rngs)

    @classmethod
    def make_blocks(cls, options: Any, input_shape: Shape, *, rngs: nnx.Rngs) -> tuple[Sequence[Block], Shape]:
        """Build the blocks; return them and the shape (H, W, C) of the last map.

        Raises:
            InputError: a map shrinks below one pixel.
        """
        return make_conv_blocks(cls.convolution_type, options, input_shape, rngs=rngs)

    @override
    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        circular = all(block.is_circular for block in self.blocks)
        stages = group_stages(self.blocks)
        total_stride = math.prod(stage.stride for stage in stages)
        return stages if circular and not any(side % total_stride for side in size) else None

    @classmethod
    @override
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        pool: type[Downsampler] = DOWNSAMPLERS.load(options.pool)
        found: dict[str, Mapping[str, str]] = {}
        if not (pool.shift_equivariant or (pool.alias_free and cls.is_alias_free(options))):
            found["stride"] = {"pool": "aps"}
        if options.padding != "circular":
            found["padding"] = {"padding": "circular"}
        if options.head == "flatten":
            found["head"] = {"head": "gap"}
        if options.activation not in ALIAS_FREE:
            found["activation"] = {"activation": "identity"}
        return found

    @classmethod
    def is_alias_free(cls, options: Any) -> bool:
        """Return whether activation, normalization and head are free of aliasing.

        A maximum or a softmax over positions aliases: it depends on where the samples of a wave lie.
        """
        return options.activation in ALIAS_FREE and options.norm != "layer" and options.head == "gap"

    @override
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        return apply_layers(self.blocks, images)

    @override
    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        return apply_head(features, self.readout, self.attention)
