"""`pool=max`: 2×2 maximum at stride 2."""

from __future__ import annotations

import functools
import operator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnnshift.models.layers.apart import compiled_apart
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.phases import even, phases


class MaxPool(Downsampler):
    """max over x[2i + {0, 1}, 2j + {0, 1}], ⌊h/2⌋ × ⌊w/2⌋: an odd last row or column is left out.

    Windows do not overlap, so that no padding is needed. Equivariant to even shifts (of even sizes, where the shift
    wraps around). Values of a window that tie for the maximum share its gradient equally.
    """

    selects: ClassVar[bool] = True

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Halve the resolution."""
        return _maximum(even(x))


@jax.custom_jvp
def _maximum(x: Array) -> Array:
    return _largest(x)


def _reduce(x: Array) -> Array:
    return functools.reduce(jnp.maximum, phases(x))


# Apart, or the gradient's pass over the windows would find each maximum four times again.
_largest = compiled_apart(_reduce)


@_maximum.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Any]:
    # The gradient as one pass over the windows: a third of the time of differentiating the maxima one by one.
    (x,), (change,) = primals, tangents
    count, height, width, channels = x.shape
    windows = (count, height // 2, 2, width // 2, 2, channels)
    largest = _largest(x)
    share = 1 / functools.reduce(operator.add, ((part == largest).astype(x.dtype) for part in phases(x)))
    hit = x.reshape(windows) == largest[:, :, None, :, None]
    return largest, share * jnp.where(hit, change.reshape(windows), 0).sum(axis=(2, 4))
