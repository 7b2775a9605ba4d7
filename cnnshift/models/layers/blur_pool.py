"""`pool=blur`: dense maximum, then a binomial low-pass filter and a stride (Zhang 2019, section 3.2: MaxBlurPool)."""

from __future__ import annotations

import functools
import math
import operator

import pydantic
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models import base
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.padding import Padding, pad


class BlurOptions(base.Options):
    """`blur` taps: 2 is a rectangle, 3 a triangle, more are nearer to a Gaussian."""

    blur: int = pydantic.Field(3, ge=2, le=7)


class BlurPool(Downsampler):
    """y[i, j] = Σ t_a t_b m[s·i + a − r, s·j + b − r], m the dense maximum, t_a = C(k−1, a) / 2^(k−1), r = ⌊(k−1)/2⌋.

    ⌈h/s⌉ × ⌈w/s⌉ with a padding that keeps the size. The filter sums to 1; the padding fills its border, and zeros
    darken it. It lowers aliasing and does not end it: the layer is equivariant to multiples of s only (of sizes
    that s divides, where the shift wraps around).
    """

    options_type = BlurOptions

    def __init__(
        self,
        channels: int,
        *,
        padding: Padding,
        options: BlurOptions,
        rngs: nnx.Rngs,
        maximum: bool = True,
        stride: int = 2,
    ) -> None:
        super().__init__(channels, padding=padding, options=options, rngs=rngs, maximum=maximum, stride=stride)
        self.taps = binomial(options.blur)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        x = pad(self._dense_maximum(x), len(self.taps), self.padding)
        return self._filter(self._filter(x, 1), 2)

    def _filter(self, x: Array, axis: int) -> Array:
        """One axis of the separable filter, at the kept positions only."""
        stride, size = self.stride, (x.shape[axis] - len(self.taps)) // self.stride + 1

        def kept(tap: int) -> Array:
            return x[(slice(None),) * axis + (slice(tap, tap + stride * (size - 1) + 1, stride),)]

        return functools.reduce(operator.add, (weight * kept(tap) for tap, weight in enumerate(self.taps)))


def binomial(taps: int) -> tuple[float, ...]:
    """Binomial coefficients over their sum."""
    return tuple(math.comb(taps - 1, tap) / 2 ** (taps - 1) for tap in range(taps))
