"""What the families of blocks share: a head, one linear layer, and what follows from the blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.models.base import Classifier, ReadoutKind
from cnnshift.models.layers.activation import ALIAS_FREE
from cnnshift.models.layers.block import Block, apply_layers, group_stages
from cnnshift.models.layers.conv_block import ConvolutionFactory, ConvOptions, make_conv_blocks
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.head import Head, apply_head, embedding_size, make_attention_pool
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.stage import Stage


class ConvClassifier(Classifier):
    """Blocks, a head, one linear layer.

    The linear layer starts He-normal over the fan-in, its biases at 0. What the blocks are is `make_blocks`'s choice:
    unless a family makes its own, `depth` blocks of weights, normalisation, activation and pooling, of which block i
    (from 0) has width · 2^i channels. Weights have a bias unless batch normalisation follows, and start He-normal too.

    Class attributes:
        convolution_type: the layer of weights that every such block starts with.
    """

    options_type = ConvOptions
    convolution_type: ClassVar[ConvolutionFactory]

    def __init__(self, options: Any, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs) -> None:
        blocks, shape = type(self).make_blocks(options, input_shape, rngs=rngs)
        self.blocks = nnx.List(blocks)
        self.readout: Head = options.head
        self.attention = make_attention_pool(options.head, shape[2], rngs=rngs)
        size = embedding_size(*shape, options.head)
        self.classifier = nnx.Linear(size, classes, kernel_init=he_normal(), rngs=rngs)

    @classmethod
    def make_blocks(
        cls, options: Any, input_shape: tuple[int, int, int], *, rngs: nnx.Rngs
    ) -> tuple[Sequence[Block], tuple[int, int, int]]:
        """The blocks, and the shape (H, W, C) that they leave.

        Raises:
            InputError: a map shrinks below one pixel.
        """
        return make_conv_blocks(cls.convolution_type, options, input_shape, rngs=rngs)

    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        """The blocks, where all that has borders circular around and the total stride divides both sizes."""
        circular = all(block.is_circular for block in self.blocks)
        divides = all(side % self.total_stride == 0 for side in size)
        return group_stages(self.blocks) if circular and divides else None

    @classmethod
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        """Adaptive sampling, wrapping around, an average over positions, no activation.

        An alias-free pool breaks nothing where all else is alias-free, too.
        """
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
        """Whether what is not a pool follows fractions of a position: the activation, the normalisation, the head.

        A maximum over positions, or a softmax, sees where between its samples a wave stands.
        """
        return options.activation in ALIAS_FREE and options.norm != "layer" and options.head == "gap"

    @property
    def total_stride(self) -> int:
        """The product of the blocks' strides."""
        return math.prod(block.stride for block in self.blocks)

    @property
    def readout_kind(self) -> ReadoutKind:
        """The head's."""
        return "linear" if self.readout == "flatten" else "global"

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The last block's map."""
        return apply_layers(self.blocks, images)

    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        """The head's vector."""
        return apply_head(features, self.readout, self.attention)

    def classify(self, embedding: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """The fully connected layer."""
        return self.classifier(embedding)
