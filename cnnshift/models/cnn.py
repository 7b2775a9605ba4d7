"""`cnn`: conv … conv, fully connected: the network of the question."""

from __future__ import annotations

from typing import Annotated

import pydantic
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.models.base import Classifier, PoolingOptions
from cnnshift.models.layers.activation import Activation
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.head import Head, embed, embedding_size
from cnnshift.models.layers.normalization import Norm
from cnnshift.models.layers.padding import Padding
from cnnshift.models.layers.trunk import make_blocks


class CnnOptions(PoolingOptions):
    """`width` doubles with every block; `kernel` is odd."""

    width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8
    depth: Annotated[int, pydantic.Field(ge=1, le=20)] = 3
    kernel: Annotated[int, pydantic.Field(ge=1, le=31)] = 3
    padding: Padding = "zero"
    head: Head = "flatten"
    activation: Activation = "relu"
    norm: Norm = "none"


class Cnn(Classifier):
    """`depth` blocks of convolution, normalisation, activation and pooling; a head; one linear layer.

    Block i has width · 2^i channels. Convolutions have a bias unless batch normalisation follows.
    """

    options_type = CnnOptions
    version = 1

    def __init__(self, options: CnnOptions, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs) -> None:
        if options.kernel % 2 == 0:
            raise InputError(f"'cnn' option kernel is '{options.kernel}'; allowed: odd numbers.")

        def convolution(shape: tuple[int, int, int], width: int) -> Convolution:
            bias = options.norm != "batch"
            return Convolution(shape[2], width, options.kernel, padding=options.padding, bias=bias, rngs=rngs)

        widths = [options.width * 2**i for i in range(options.depth)]
        blocks, shape = make_blocks(convolution, input_shape, widths, options, rngs=rngs)
        self.blocks = nnx.List(blocks)
        self.readout: Head = options.head
        self.classifier = nnx.Linear(embedding_size(*shape, options.head), classes, rngs=rngs)

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The last block's map."""
        for block in self.blocks:
            images = block(images)
        return images

    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        """The head's vector."""
        return embed(features, self.readout)

    def classify(self, embedding: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """The fully connected layer."""
        return self.classifier(embedding)
