"""Relative position bias: an attention bias that depends on the offset between two tokens."""

from __future__ import annotations

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
        sizes = grid if wrap else (2 * grid[0] - 1, 2 * grid[1] - 1)
        self.table = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (heads, sizes[0] * sizes[1])))
        self.grid, self.wrap = grid, wrap

    def __call__(self) -> Float[Array, "heads t t"]:
        """Return B, with tokens row by row."""
        return self.table[...][:, offset_index(self.grid, wrap=self.wrap)]


def offset_index(grid: tuple[int, int], *, wrap: bool) -> Int[np.ndarray, "t t"]:
    """Return the table index of every pair of tokens (query, key): offset row · columns + offset column."""
    down, across = (_along(size, wrap=wrap) for size in grid)
    columns = grid[1] if wrap else 2 * grid[1] - 1
    tokens = grid[0] * grid[1]
    return (down[:, None, :, None] * columns + across[None, :, None, :]).reshape(tokens, tokens)


def _along(size: int, *, wrap: bool) -> Int[np.ndarray, "s s"]:
    offset = np.arange(size)[:, None] - np.arange(size)[None]
    return offset % size if wrap else offset + size - 1
