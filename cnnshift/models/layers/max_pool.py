"""`pool=max`: s×s maximum at stride s, 2 by default."""

from __future__ import annotations

import functools
import operator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components
from cnnshift.models.layers.xla import jit_noinline


class MaxPool(Downsampler):
    """max over x[s·i + {0 … s−1}, s·j + {0 … s−1}], ⌊h/s⌋ × ⌊w/s⌋: what fills no window is left out.

    Windows do not overlap, so that no padding is needed. Equivariant to shifts by multiples of s (of sizes that s
    divides, where the shift wraps around). Values of a window that tie for the maximum share its gradient equally.
    """

    selects: ClassVar[bool] = True

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        return _maximum(crop_to_multiple(x, self.stride), self.stride)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _maximum(x: Array, stride: int) -> Array:
    return _largest(x, stride)


def _reduce(x: Array, stride: int) -> Array:
    return functools.reduce(jnp.maximum, polyphase_components(x, stride))


def _compare(x: Array, stride: int) -> tuple[Array, Array, Array]:
    """The maximum of each window, where it is, and 1 / in how many places."""
    largest = _reduce(x, stride)
    count, height, width, channels = largest.shape
    hit = x.reshape(count, height, stride, width, stride, channels) == largest[:, :, None, :, None]
    places = functools.reduce(
        operator.add, ((part == largest).astype(x.dtype) for part in polyphase_components(x, stride))
    )
    # At least one place, whatever a compiler makes of x: a window without any has no gradient, but a finite one.
    return largest, hit, 1 / jnp.maximum(places, 1)


# Apart, or the gradient's pass over the windows would find each maximum four times again; and x could be computed a
# second time, with other roundings, and be nowhere equal to the maximum of the first.
_largest = jit_noinline(_reduce, static_argnums=(1,))
_places = jit_noinline(_compare, static_argnums=(1,))


@_maximum.defjvp
def _(stride: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Any]:
    # The gradient as one pass over the windows: a third of the time of differentiating the maxima one by one.
    (x,), (change,) = primals, tangents
    largest, hit, share = _places(x, stride)
    return largest, share * jnp.where(hit, change.reshape(hit.shape), 0).sum(axis=(2, 4))
