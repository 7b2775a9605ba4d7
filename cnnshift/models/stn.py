"""`stn`: a spatial transformer in front of any family."""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.models.base import ReadoutKind
from cnnshift.models.layers.conv_block import ConvOptions, make_conv_blocks
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.grid_sampling import affine_grid, grid_sample
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.wrapper import Wrapper, WrapperOptions

Transform = Literal["affine", "translation"]

HIDDEN = 32

MIN_SIZE = 4
"""Side of an image of which the localisation network's two poolings leave a pixel."""

LAST_LAYER_SCALE = 0.1
"""Factor on the last layer: it learns as with that fraction of the learning rate of the other layers."""


class StnOptions(WrapperOptions):
    """`transform` is what the localisation network chooses: all six numbers of θ, or t_x and t_y alone."""

    transform: Transform = "affine"


class Localisation(nnx.Module):
    """θ of an image: two blocks of convolution (3×3, 8 and 16 channels), ReLU and 2×2 maximum; 32 units; θ.

    θ = identity + tanh(`LAST_LAYER_SCALE` · last layer), number by number. The last layer starts with zero weights
    and biases, so that θ starts at the identity, as in Jaderberg et al. 2015. The other weights start He-normal.

    Two things are not the paper's, for training at the rate of the other layers: the tanh bounds every change by 1,
    because from where the whole image is out of sight no gradient leads back; and layer normalisation before the
    ReLU of the 32 units, which would otherwise die.

    Args:
        transform: what is regressed.
        input_shape: (H, W, channels) of the images, 4×4 pixels at least.
        rngs: of the initial weights.
    """

    def __init__(self, transform: Transform, input_shape: tuple[int, int, int], *, rngs: nnx.Rngs) -> None:
        if min(input_shape[:2]) < MIN_SIZE:
            size = f"{input_shape[0]}×{input_shape[1]}"
            raise InputError(f"stn is for images of {MIN_SIZE}×{MIN_SIZE} pixels at least; these have {size}.")
        blocks, shape = make_conv_blocks(Convolution, ConvOptions(width=8, depth=2), input_shape, rngs=rngs)
        self.transform: Transform = transform
        self.blocks = nnx.List(blocks)
        self.hidden = nnx.Linear(math.prod(shape), HIDDEN, kernel_init=he_normal(), rngs=rngs)
        self.norm = make_norm("layer", HIDDEN, rngs=rngs)
        numbers = 6 if transform == "affine" else 2
        self.theta = nnx.Linear(HIDDEN, numbers, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n 2 3"]:
        """θ of every image."""
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
    """f(sample(x, grid(θ(x)))): the inner network f sees the image through a transformation that depends on it.

    Jaderberg et al. 2015: localisation network (section 3.1), grid (3.2), bilinear sampler (3.3; 0 outside of the
    image). Input and output have the same size. Nothing makes the localisation network equivariant, so no invariance
    holds exactly: θ(T_d x) may be anything.
    """

    options_type = StnOptions
    version = 1

    def __init__(self, options: StnOptions, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.localisation = Localisation(options.transform, input_shape, rngs=rngs)

    def transform(self, images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """What the inner network sees."""
        size = (images.shape[1], images.shape[2])
        return grid_sample(images, affine_grid(self.localisation(images), size))

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The inner network's map of the transformed images."""
        return self.backbone.features(self.transform(images))

    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        """The inner network's."""
        return self.backbone.embed(features)

    @property
    def classifier(self) -> nnx.Module:
        """The inner network's last layer, where its head is linear."""
        return self.backbone.classifier

    @property
    def total_stride(self) -> int | None:
        """The inner network's."""
        return self.backbone.total_stride

    @property
    def readout_kind(self) -> ReadoutKind:
        """The inner network's."""
        return self.backbone.readout_kind
