"""`pool=blur`: dense maximum, binomial low-pass filter, stride (Zhang 2019, section 3.2: MaxBlurPool)."""

from __future__ import annotations

import functools
import math
import operator

import pydantic
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.padding import pad
from cnnshift.options import Options


class BlurOptions(Options):
    """`blur`: number of filter taps k; 2 is a rectangle, 3 a triangle, more approach a Gaussian."""

    blur: int = pydantic.Field(3, ge=2, le=7)


class BlurPool(Downsampler):
    """y[i, j] = Σ t_a t_b m[s·i + a − r, s·j + b − r], m the dense maximum, t_a = C(k−1, a) / 2^(k−1), r = ⌊(k−1)/2⌋.

    The output has ⌈h/s⌉ × ⌈w/s⌉ positions with a padding that keeps the size. The taps sum to 1; the padding fills the
    border of the filter, so that zeros darken it. The layer reduces aliasing: it is exactly equivariant to multiples of
    s only (circular, for sizes that s divides).
    """

    options_type = BlurOptions

    @override
    def _setup(self, channels: int, options: BlurOptions, rngs: nnx.Rngs) -> None:
        order = options.blur - 1
        self.taps = tuple(math.comb(order, tap) / 2**order for tap in range(options.blur))

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        x = pad(self._dense_maximum(x), len(self.taps), self.padding)
        return self._filter(self._filter(x, 1), 2)

    def _filter(self, x: Array, axis: int) -> Array:
        """Apply the separable filter along one axis, at the kept positions only."""
        stride, size = self.stride, (x.shape[axis] - len(self.taps)) // self.stride + 1

        def kept(tap: int) -> Array:
            return x[(slice(None),) * axis + (slice(tap, tap + stride * (size - 1) + 1, stride),)]

        return functools.reduce(operator.add, (weight * kept(tap) for tap, weight in enumerate(self.taps)))
