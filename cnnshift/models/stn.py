"""`stn`: a spatial transformer in front of a backbone."""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.errors import InputError
from cnnshift.models.layers.conv_block import ConvOptions, make_conv_blocks
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.grid_sampling import affine_grid, grid_sample
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.stage import Shape
from cnnshift.models.wrapper import Wrapper, WrapperOptions

Transform = Literal["affine", "translation"]

HIDDEN = 32

MIN_SIZE = 4
"""Smallest side of an image: the localisation network pools twice."""

LAST_LAYER_SCALE = 0.1
"""Factor on the output of the last layer, which reduces its effective learning rate."""


class StnOptions(WrapperOptions):
    """`transform`: whether the localisation network predicts all six values of θ, or t_x and t_y only."""

    transform: Transform = "affine"


class Localisation(nnx.Module):
    """The network that predicts θ: two blocks of 3×3 convolution (8, 16 channels), ReLU and 2×2 maximum; 32 units; θ.

    θ = identity + tanh(`LAST_LAYER_SCALE` · last layer), elementwise. The last layer starts at zero, and θ at the
    identity, as in Jaderberg et al. 2015. The other weights start He-normal.

    Two changes allow training with the learning rate of the other layers: the tanh bounds every change by 1, because
    there is no gradient once the whole image is out of view; and layer normalization before the ReLU of the 32 units
    keeps the units from dying.

    Args:
        transform: what is predicted.
        input_shape: (H, W, channels) of the images, at least 4×4 pixels.
    """

    def __init__(self, transform: Transform, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        if min(input_shape[:2]) < MIN_SIZE:
            size = f"{input_shape[0]}×{input_shape[1]}"
            raise InputError(f"stn needs images of at least {MIN_SIZE}×{MIN_SIZE} pixels; these have {size}.")
        blocks, shape = make_conv_blocks(Convolution, ConvOptions(width=8, depth=2), input_shape, rngs=rngs)
        self.transform: Transform = transform
        self.blocks = nnx.List(blocks)
        self.hidden = nnx.Linear(math.prod(shape), HIDDEN, kernel_init=he_normal(), rngs=rngs)
        self.norm = make_norm("layer", HIDDEN, rngs=rngs)
        numbers = 6 if transform == "affine" else 2
        self.theta = nnx.Linear(HIDDEN, numbers, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n 2 3"]:
        """Return θ per image."""
        x = images
        for block in self.blocks:
            x = block(x)
        assert self.norm is not None
        units = jax.nn.relu(self.norm(self.hidden(x.reshape(x.shape[0], -1))))
        change = jnp.tanh(LAST_LAYER_SCALE * self.theta(units))
        if self.transform == "affine":
            return jnp.eye(2, 3)[None] + change.reshape(-1, 2, 3)
        upright = jnp.broadcast_to(jnp.eye(2), (len(change), 2, 2))
        return jnp.concatenate([upright, change[:, :, None]], axis=2)


class Stn(Wrapper):
    """f(sample(x, grid(θ(x)))): the backbone f on an image transformed by θ, which depends on the image.

    Jaderberg et al. 2015: localisation network (section 3.1), grid (3.2), bilinear sampler (3.3; 0 outside the image).
    Input and output have the same size. The localisation network is not equivariant, so that no invariance is exact.
    """

    options_type = StnOptions
    version = 1

    def __init__(self, options: StnOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.localisation = Localisation(options.transform, input_shape, rngs=rngs)
        self.total_stride = self.backbone.total_stride
        self.readout_kind = self.backbone.readout_kind

    def transform(self, images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Return the transformed images, the input of the backbone."""
        size = (images.shape[1], images.shape[2])
        return grid_sample(images, affine_grid(self.localisation(images), size))

    @override
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        return self.backbone.features(self.transform(images))

    @override
    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        return self.backbone.embed(features)

    @property
    def classifier(self) -> nnx.Module:
        """The last layer of the backbone, if its readout is linear."""
        return self.backbone.classifier
