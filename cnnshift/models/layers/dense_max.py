"""A maximum over neighbours at every position."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from cnnshift.models.layers.padding import Padding, pad


def dense_max(x: Float[Array, "n h w c"], padding: Padding) -> Float[Array, "n H W c"]:
    """Max over x[i + {0, 1}, j + {0, 1}] at stride 1 (Zhang 2019, section 3.2).

    What is beyond the last row and column is filled by the padding; `valid` loses one row and column, `full` gains one.
    Bitwise equivariant to every shift with circular padding.
    """
    x = pad(x, 2, padding)
    count, height, width, channels = x.shape
    # Rows as one long axis: a channel axis shorter than a vector register is slow on a CPU.
    rows = x.reshape(count, height, width * channels)
    rows = jnp.maximum(rows[:, :-1], rows[:, 1:])
    rows = jnp.maximum(rows[:, :, :-channels], rows[:, :, channels:])
    return rows.reshape(count, height - 1, width - 1, channels)
