"""Absolute position embeddings, added to the tokens."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError


class PositionEmbedding(nnx.Module):
    """y[i, j] = x[i, j] + e[i, j]. Not equivariant to shifts of the tokens.

    `learned`: e is a weight, initially normal with deviation 0.02 (Dosovitskiy et al. 2021, section 3.1). `sincos`: e
    is fixed, see `sine_cosine`.

    Raises:
        InputError: the width is not a multiple of 4 for `sincos`.
    """

    def __init__(
        self, kind: Literal["learned", "sincos"], grid: tuple[int, int], width: int, *, rngs: nnx.Rngs
    ) -> None:
        if kind == "sincos" and width % 4:
            raise InputError(f"width is {width}; allowed with position=sincos: multiples of 4.")
        start = nnx.initializers.normal(0.02)
        self.weights = nnx.Param(start(rngs.params(), (*grid, width))) if kind == "learned" else None
        self.grid, self.width = grid, width

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        if self.weights is None:
            return x + jnp.asarray(sine_cosine(self.grid, self.width), x.dtype)[None]
        return x + self.weights[...][None]


def sine_cosine(grid: tuple[int, int], width: int) -> Float[np.ndarray, "h w c"]:
    """e[i, j] = (sin i·ω, cos i·ω, sin j·ω, cos j·ω), ω_k = T^(−4k/C), k = 0 … C/4 − 1, T = 10,000.

    The embedding of Vaswani et al. 2017 (section 3.5) on two axes, as in Chen, Xie & He 2021 (MoCo v3, section 5).
    Beyer et al. 2022 (Better plain ViT baselines) space ω so that its last value is 1/T.
    """
    frequencies = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    down, across = (np.arange(size)[:, None] * frequencies for size in grid)
    rows, columns = (np.concatenate([np.sin(angle), np.cos(angle)], axis=1) for angle in (down, across))
    shape = (*grid, width // 2)
    parts = np.broadcast_to(rows[:, None], shape), np.broadcast_to(columns[None], shape)
    return np.concatenate(parts, axis=-1)
