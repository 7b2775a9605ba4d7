"""A bias of the attention that depends on how far two tokens lie apart, not on where they are."""

from __future__ import annotations

import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int


class RelativePosition(nnx.Module):
    """B[h, i, j] = table[h, i − j], i and j positions (y, x) of the map: one learned number per head and offset.

    Without wrapping, offsets run from −(H − 1) to H − 1, (2H − 1)(2W − 1) of them (Liu et al. 2021, section 3.2,
    equation 4). On a map that wraps around this is not equivariant: a shift takes pairs of tokens over the border,
    where their offset changes by H. Wrapping takes offsets modulo (H, W), HW of them: equivariant to every circular
    shift of the tokens (as in Rojas-Gomez et al. 2024, section 4). The table is normal with deviation 0.02 at first.

    Args:
        heads: of the attention.
        grid: (H, W) of the map of tokens.
        wrap: whether offsets wrap around.
        rngs: of the initial weights.
    """

    def __init__(self, heads: int, grid: tuple[int, int], *, wrap: bool, rngs: nnx.Rngs) -> None:
        sizes = grid if wrap else (2 * grid[0] - 1, 2 * grid[1] - 1)
        self.table = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (heads, sizes[0] * sizes[1])))
        self.grid, self.wrap = grid, wrap

    def __call__(self) -> Float[Array, "heads t t"]:
        """B, with tokens row by row."""
        return self.table[...][:, offset_index(self.grid, wrap=self.wrap)]


def offset_index(grid: tuple[int, int], *, wrap: bool) -> Int[np.ndarray, "t t"]:
    """Index into the table of every pair of tokens (query, key): the offset's row · columns + the offset's column."""
    down, across = (_along(size, wrap=wrap) for size in grid)
    columns = grid[1] if wrap else 2 * grid[1] - 1
    tokens = grid[0] * grid[1]
    return (down[:, None, :, None] * columns + across[None, :, None, :]).reshape(tokens, tokens)


def _along(size: int, *, wrap: bool) -> Int[np.ndarray, "s s"]:
    apart = np.arange(size)[:, None] - np.arange(size)[None]
    return apart % size if wrap else apart + size - 1
