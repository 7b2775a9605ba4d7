"""`pool=blur`: dense maximum, then a binomial low-pass filter at stride 2 (Zhang 2019, section 3.2: MaxBlurPool)."""

from __future__ import annotations

import math

import pydantic
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models import base
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.max_pool import dense_max
from cnnshift.models.layers.padding import Padding, pad


class BlurOptions(base.Options):
    """`blur` taps: 2 is a rectangle, 3 a triangle, more are nearer to a Gaussian."""

    blur: int = pydantic.Field(3, ge=2, le=7)


class BlurPool(Downsampler):
    """y[2i, 2j] of the dense maximum filtered by the outer product of C(m−1, t) / 2^(m−1).

    The filter sums to 1; the padding fills its border (zeros darken it). It lowers aliasing and does not end it: the
    layer is equivariant to even shifts only.
    """

    options_type = BlurOptions

    def __init__(self, channels: int, *, padding: Padding, options: BlurOptions, rngs: nnx.Rngs) -> None:
        self.padding: Padding = padding
        self.taps = tuple(binomial(options.blur))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Halve the resolution."""
        x = pad(dense_max(x, self.padding), len(self.taps), self.padding)
        for axis in (1, 2):
            # Only the kept positions are computed.
            size = (x.shape[axis] - len(self.taps) + 1) // 2
            slices = [
                tap * x[(slice(None),) * axis + (slice(t, t + 2 * size - 1, 2),)] for t, tap in enumerate(self.taps)
            ]
            x = sum(slices[1:], start=slices[0])
        return x


def binomial(taps: int) -> list[float]:
    """Binomial coefficients over their sum."""
    return [math.comb(taps - 1, t) / 2 ** (taps - 1) for t in range(taps)]
