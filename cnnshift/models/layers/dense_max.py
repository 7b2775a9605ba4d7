"""The dense maximum: a max-pool of stride 1."""

from __future__ import annotations

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float

from cnnshift.models.layers.padding import Padding, pad


def dense_max(x: Float[Array, "n h w c"], padding: Padding, window: int = 2) -> Float[Array, "n H W c"]:
    """Return the maximum over windows at stride 1 (Zhang 2019, section 3.2): x[i + {0, 1}, j + {0, 1}] for window 2.

    The padding fills the border (see `pad_widths`): `valid` loses window − 1 rows and columns, `full` gains as many.
    Bitwise equivariant to every circular shift with circular padding.
    """
    x = pad(x, window, padding)
    count, height, width, channels = x.shape
    # Rows as one long axis: a channel axis shorter than a vector register is slow on a CPU.
    rows = x.reshape(count, height, width * channels)
    height, width = height - window + 1, width - window + 1
    rows = functools.reduce(jnp.maximum, (rows[:, a : a + height] for a in range(window)))
    starts = range(0, window * channels, channels)
    rows = functools.reduce(jnp.maximum, (rows[:, :, b : b + width * channels] for b in starts))
    return rows.reshape(count, height, width, channels)
