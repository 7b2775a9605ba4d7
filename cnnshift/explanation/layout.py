"""Layout of a layer's output: a feature map, a sequence of tokens, or a vector."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@dataclass(frozen=True, slots=True)
class Layout:
    """How to reshape a layer's output into a feature map.

    Attributes:
        size: (h, w) of the map; None for a vector and for an unknown layout.
        skip: tokens before those of the map: 1 for a class token.
        known: False if the output is neither a map, nor tokens, nor a vector.
    """

    size: tuple[int, int] | None
    skip: int = 0
    known: bool = True

    def fold(self, output: Float[Array, "*shape"]) -> Float[Array, "n h w c"] | Float[Array, "n e"]:
        """Return the output as a map [n h w c], or as vectors [n e]."""
        if self.size is None:
            return output.reshape(len(output), -1)
        tokens = output.reshape(len(output), self.skip + math.prod(self.size), -1)
        return tokens[:, self.skip :].reshape(len(output), *self.size, -1)

    def roll(self, output: Float[Array, "*shape"], q: Int[Array, " 2"]) -> Float[Array, "*shape"]:
        """Roll the map by whole positions and return it in the layer's own shape; vectors stay unchanged."""
        if self.size is None:
            return output
        rolled = jnp.roll(self.fold(output), q, axis=(1, 2))
        tokens = rolled.reshape(len(output), math.prod(self.size), -1)
        before = output.reshape(len(output), self.skip + math.prod(self.size), -1)[:, : self.skip]
        return jnp.concatenate([before, tokens], axis=1).reshape(output.shape)


def find_layout(shape: tuple[int, ...], size: tuple[int, int]) -> Layout:
    """Infer the layout from the shape of one output, [h w c], [t c], [t heads c] or [e], and the image size (H, W).

    A map has the aspect ratio of the image, up to a padding margin. Tokens tile the image in row-major order, p × p
    pixels each, optionally after one class token. A single position is a vector.
    """
    if len(shape) == 3 and min(shape[:2]) > 1:
        scales = shape[0] / size[0], shape[1] / size[1]
        if max(scales) <= 1.5 * min(scales):
            return Layout((shape[0], shape[1]))
    if len(shape) >= 2:
        for skip in (0, 1):
            tokens = shape[0] - skip
            patch = math.isqrt(size[0] * size[1] // tokens) if tokens > 1 else 0
            if patch and tokens * patch**2 == size[0] * size[1] and not (size[0] % patch or size[1] % patch):
                return Layout((size[0] // patch, size[1] // patch), skip)
    return Layout(None, known=len(shape) == 1 or math.prod(shape[:-1]) == 1)
