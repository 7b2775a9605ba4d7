"""`mlp`: fully connected layers only."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import pydantic
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.base import Classifier
from cnnshift.models.layers.activation import Activation, ActivationName
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.stage import Shape
from cnnshift.options import Options


class MlpOptions(Options):
    """`depth` hidden layers of `width` units."""

    width: Annotated[int, pydantic.Field(ge=1, le=16384)] = 128
    depth: Annotated[int, pydantic.Field(ge=1, le=20)] = 2
    activation: ActivationName = "relu"


class Mlp(Classifier):
    """Hidden layers on the flattened image, then one linear layer: positions share no weights.

    Weights start He-normal over the fan-in, biases at 0.
    """

    options_type = MlpOptions
    version = 1

    def __init__(self, options: MlpOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        height, width, channels = input_shape
        sizes = [height * width * channels, *[options.width] * options.depth]
        start = he_normal()
        self.hidden = nnx.List(
            nnx.Linear(inputs, outputs, kernel_init=start, rngs=rngs) for inputs, outputs in pairwise(sizes)
        )
        self.activation = Activation(options.activation)
        self.classifier = nnx.Linear(sizes[-1], classes, kernel_init=start, rngs=rngs)

    @override
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n 1 1 e"]:
        """Return the last hidden layer as a map of one position."""
        x = images.reshape(images.shape[0], -1)
        for layer in self.hidden:
            x = self.activation(layer(x))
        return x[:, None, None, :]

    @override
    def embed(self, features: Float[Array, "n 1 1 e"]) -> Float[Array, "n e"]:
        return features[:, 0, 0, :]
