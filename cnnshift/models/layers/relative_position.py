"""Relative position bias: an attention bias that depends on the offset between two tokens."""

from __future__ import annotations

import math

import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int


class RelativePosition(nnx.Module):
    """B[h, i, j] = table[h, i − j], i and j positions (y, x) of the map: one learned value per head and offset.

    Without wrapping there are (2H − 1)(2W − 1) offsets, from −(H − 1) to H − 1 and likewise for W (Liu et al. 2021,
    section 3.2, equation 4). That is not equivariant to circular shifts, which move pairs of tokens across the border,
    where their offset changes by H. With wrapping, offsets are taken modulo (H, W): equivariant to every circular shift
    of the tokens (Rojas-Gomez et al. 2024, section 4). The table starts normal with deviation 0.02.
    """

    def __init__(self, heads: int, grid: tuple[int, int], *, wrap: bool, rngs: nnx.Rngs) -> None:
        count = math.prod(_offsets(size, wrap=wrap)[1] for size in grid)
        self.table = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (heads, count)))
        self.grid, self.wrap = grid, wrap

    def __call__(self) -> Float[Array, "heads t t"]:
        """Return B, with tokens row by row."""
        (down, _), (across, columns) = (_offsets(size, wrap=self.wrap) for size in self.grid)
        tokens = self.grid[0] * self.grid[1]
        index = down[:, None, :, None] * columns + across[None, :, None, :]
        return self.table[...][:, index.reshape(tokens, tokens)]


def _offsets(size: int, *, wrap: bool) -> tuple[Int[np.ndarray, "s s"], int]:
    """Return the offset of every pair of positions (query, key) along an axis, from 0, and the number of offsets."""
    offset = np.arange(size)[:, None] - np.arange(size)[None]
    return (offset % size, size) if wrap else (offset + size - 1, 2 * size - 1)
