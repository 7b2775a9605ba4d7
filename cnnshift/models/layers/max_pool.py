"""`pool=max`: 2×2 maximum at stride 2; and the dense maximum that other layers start from."""

from __future__ import annotations

from functools import reduce

import jax.numpy as jnp
from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.padding import Padding, amounts, pad
from cnnshift.models.layers.phases import phases


class MaxPool(Downsampler):
    """max over x[2i + {0, 1}, 2j + {0, 1}]; an odd last row or column is left out.

    Windows do not overlap, so that no padding is needed. Where several values are the largest they share the gradient.
    """

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Halve the resolution."""
        return reduce(jnp.maximum, phases(x))


def dense_max(x: Float[Array, "n h w c"], padding: Padding) -> Float[Array, "n H W c"]:
    """Max over x[i + {0, 1}, j + {0, 1}] at stride 1 (Zhang 2019, section 3.2).

    The border is filled by the padding; `valid` and `full` lose and gain one row and column.
    """
    if amounts(2, padding) != (0, 0):
        x = pad(x, 2, padding)
    rows = jnp.maximum(x[:, :-1], x[:, 1:])
    return jnp.maximum(rows[:, :, :-1], rows[:, :, 1:])
