"""`pool=max`: s×s maximum at stride s, 2 by default."""

from __future__ import annotations

import functools
import operator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components
from cnnshift.models.layers.xla import jit_noinline


class MaxPool(Downsampler):
    """max over x[s·i + {0 … s−1}, s·j + {0 … s−1}], ⌊h/s⌋ × ⌊w/s⌋; incomplete windows at the end are dropped.

    Windows do not overlap and need no padding. Equivariant to circular shifts by multiples of s, for sizes that s
    divides. Values that tie for the maximum of a window share its gradient equally.
    """

    selects: ClassVar[bool] = True

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        return _maximum(crop_to_multiple(x, self.stride), self.stride)


def _reduce(x: Array, stride: int) -> Array:
    return functools.reduce(jnp.maximum, polyphase_components(x, stride))


def _compare(x: Array, stride: int) -> tuple[Array, Array, Array]:
    """Return the maximum of each window, a mask of its places, and 1 / the number of places."""
    largest = _reduce(x, stride)
    count, height, width, channels = largest.shape
    hit = x.reshape(count, height, stride, width, stride, channels) == largest[:, :, None, :, None]
    places = functools.reduce(
        operator.add, ((part == largest).astype(x.dtype) for part in polyphase_components(x, stride))
    )
    # At least 1: if compilation rounds x differently, a window may have no place; its gradient is then 0, not NaN.
    return largest, hit, 1 / jnp.maximum(places, 1)


# Not inlined: otherwise the gradient would compute each maximum four more times, and could recompute x with different
# rounding, so that no value equals the maximum.
_maximum = jax.custom_jvp(jit_noinline(_reduce, static_argnums=(1,)), nondiff_argnums=(1,))
_places = jit_noinline(_compare, static_argnums=(1,))


@_maximum.defjvp
def _(stride: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Any]:
    # One pass over the windows: a third of the time of differentiating each maximum.
    (x,), (change,) = primals, tangents
    largest, hit, share = _places(x, stride)
    return largest, share * jnp.where(hit, change.reshape(hit.shape), 0).sum(axis=(2, 4))
