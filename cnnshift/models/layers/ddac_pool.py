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

from cnnshift.errors import InputError
from cnnshift.models import base
from cnnshift.models.layers.correlation import correlate
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.padding import NO_MARGINS, Padding, pad


class DdacOptions(base.Options):
    """`ddac`: side of the filters; `groups`: channels of a group share one."""

    ddac: Literal["3", "5"] = "3"
    groups: int = pydantic.Field(2, ge=1, le=4096)


class DdacPool(Downsampler):
    """Dense maximum m, then y[i, j, c] = Σ_{a, b} w[i, j, g(c), a, b] m[s·i + a − r, s·j + b − r, c], r = ⌊k/2⌋.

    The filters w of a position are the softmax over their k² taps of a k × k convolution of m at that position,
    g groups × k² channels: positive, and 1 in sum. Channels of a group follow each other. The paper normalises what
    the softmax sees by batch; here batch normalisation is an option of the family, and the layer has none. Weights
    start He-normal over the fan-in.

    ⌈h/s⌉ × ⌈w/s⌉ with a padding that keeps the size; filters and maps see the same border. What a shift changes is
    filtered by content, not ended: equivariant to multiples of s only (of sizes that s divides, where the shift wraps
    around).

    Raises:
        InputError: the groups do not divide the channels.
    """

    options_type = DdacOptions

    def __init__(
        self,
        channels: int,
        *,
        padding: Padding,
        options: DdacOptions,
        rngs: nnx.Rngs,
        maximum: bool = True,
        stride: int = 2,
    ) -> None:
        if channels % options.groups:
            raise InputError(f"groups is {options.groups}, which does not divide the {channels} channels of pool=ddac.")
        super().__init__(channels, padding=padding, options=options, rngs=rngs, maximum=maximum, stride=stride)
        self.size, self.groups = int(options.ddac), options.groups
        shape = (self.size, self.size, channels, self.groups * self.size**2)
        self.kernel = nnx.Param(he_normal()(rngs.params(), shape))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        k, s = self.size, self.stride
        x = pad(self._dense_maximum(x), k, self.padding)
        # The filters of the kept positions only.
        logits = correlate(x, self.kernel[...], margins=NO_MARGINS, stride=s)
        count, height, width, _ = logits.shape
        filters = jax.nn.softmax(logits.reshape(count, height, width, self.groups, k * k), axis=-1)
        share = x.shape[3] // self.groups

        def tap(a: int, b: int) -> Array:
            seen = x[:, a : a + s * (height - 1) + 1 : s, b : b + s * (width - 1) + 1 : s]
            return seen * jnp.repeat(filters[..., a * k + b], share, axis=-1)

        return functools.reduce(operator.add, (tap(a, b) for a in range(k) for b in range(k)))
