"""`pool=ddac`: adaptive low-pass filters (Zou et al. 2020, "Delving Deeper into Anti-aliasing", section 3)."""

from __future__ import annotations

import functools
import operator
from typing import Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.errors import InputError
from cnnshift.models.layers.correlation import correlate
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.padding import NO_MARGINS, pad
from cnnshift.options import Options


class DdacOptions(Options):
    """`ddac`: side k of the filters. `groups`: number g of channel groups; the channels of a group share a filter."""

    ddac: Literal["3", "5"] = "3"
    groups: int = pydantic.Field(2, ge=1, le=4096)


class DdacPool(Downsampler):
    """Dense maximum m, then y[i, j, c] = Σ_{a, b} w[i, j, g(c), a, b] m[s·i + a − r, s·j + b − r, c], r = ⌊k/2⌋.

    The filters w of a position are the softmax over the k² taps of a k × k convolution of m with g · k² output
    channels: positive, with sum 1. A group is a run of consecutive channels. The paper applies batch normalization
    before the softmax; this layer has none, because batch normalization is an option of the family here. Weights start
    He-normal over the fan-in.

    The output has ⌈h/s⌉ × ⌈w/s⌉ positions with a padding that keeps the size; filters and maps have the same padding.
    The filters reduce aliasing: the layer is exactly equivariant to multiples of s only (circular, for sizes that s
    divides).

    Raises:
        InputError: g does not divide the channels.
    """

    options_type = DdacOptions

    @override
    def _setup(self, channels: int, options: DdacOptions, rngs: nnx.Rngs) -> None:
        if channels % options.groups:
            raise InputError(f"groups is {options.groups}, which does not divide the {channels} channels of pool=ddac.")
        self.size, self.groups = int(options.ddac), options.groups
        shape = (self.size, self.size, channels, self.groups * self.size**2)
        self.kernel = nnx.Param(he_normal()(rngs.params(), shape))

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        k, s = self.size, self.stride
        x = pad(self._dense_maximum(x), k, self.padding)
        # The filters of the kept positions only.
        logits = correlate(x, self.kernel[...], margins=NO_MARGINS, stride=s)
        count, height, width, _ = logits.shape
        filters = jax.nn.softmax(logits.reshape(count, height, width, self.groups, k * k), axis=-1)
        channels_per_group = x.shape[3] // self.groups

        def tap(a: int, b: int) -> Array:
            pixels = x[:, a : a + s * (height - 1) + 1 : s, b : b + s * (width - 1) + 1 : s]
            return pixels * jnp.repeat(filters[..., a * k + b], channels_per_group, axis=-1)

        return functools.reduce(operator.add, (tap(a, b) for a in range(k) for b in range(k)))
