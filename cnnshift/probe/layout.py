"""Where the positions are in what a layer gives: maps, tokens, or none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Array, Float


@dataclass(frozen=True, slots=True)
class Layout:
    """How to see a layer's output as a map.

    Attributes:
        size: (h, w) of the map; None for a vector, which has no positions.
        skip: tokens before those of the map: 1 for a class token.
    """

    size: tuple[int, int] | None
    skip: int = 0

    def fold(self, output: Float[Array, "*shape"]) -> Float[Array, "n h w c"] | Float[Array, "n e"]:
        """The output as a map [n h w c], or as vectors [n e]."""
        if self.size is None:
            return output.reshape(len(output), -1)
        return output[:, self.skip :].reshape(len(output), *self.size, -1) if output.ndim == 3 else output


def find_layout(shape: tuple[int, ...], size: tuple[int, int]) -> Layout:
    """The layout of one image's output [h w c], [t c] or [e], for images of that size (H, W).

    A three-dimensional output is a map unless it has a single position. A two-dimensional one is a sequence of tokens
    if they can be laid on the image, p × p pixels each, row by row, with or without one class token before them.
    """
    if len(shape) == 3:
        return Layout((shape[0], shape[1]) if shape[0] * shape[1] > 1 else None)
    if len(shape) == 2:
        for skip in (0, 1):
            tokens = shape[0] - skip
            patch = math.isqrt(size[0] * size[1] // tokens) if tokens > 1 else 0
            if patch and tokens * patch**2 == size[0] * size[1] and not (size[0] % patch or size[1] % patch):
                return Layout((size[0] // patch, size[1] // patch), skip)
    return Layout(None)
