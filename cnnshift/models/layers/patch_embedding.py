"""Patch embedding: one linear layer on non-overlapping patches."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.models.layers.correlation import correlate
from cnnshift.models.layers.initializers import lecun_normal


class PatchEmbedding(nnx.Module):
    """y[i, j] = b + Σ_{a, b, c} x[p·i + a, p·j + b, c] k[a, b, c] (Dosovitskiy et al. 2021, section 3.1, equation 1).

    A convolution with stride p, the side of a patch: equivariant to circular shifts by multiples of p only. Weights
    start LeCun-normal over the fan-in, biases at 0.

    Attributes:
        grid: (H/p, W/p), the size of the token map.

    Raises:
        InputError: p does not divide both sides.
    """

    def __init__(self, shape: tuple[int, int, int], patch: int, width: int, *, rngs: nnx.Rngs) -> None:
        rows, columns, channels = shape
        if rows % patch or columns % patch:
            raise InputError(f"patch is {patch}; allowed: divisors of both sides of the images, {rows}×{columns}.")
        start = lecun_normal()
        self.kernel = nnx.Param(start(rngs.params(), (patch, patch, channels, width)))
        self.bias = nnx.Param(jnp.zeros(width))
        self.patch = patch
        self.grid = rows // patch, columns // patch

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        # A reshape and one matrix product, as patches do not overlap.
        (rows, columns), p, (count, *_, channels) = self.grid, self.patch, x.shape
        patches = x.reshape(count, rows, p, columns, p, channels).swapaxes(2, 3)
        kernel = self.kernel[...]
        tokens = patches.reshape(count, rows, columns, -1) @ kernel.reshape(-1, kernel.shape[-1])
        return tokens + self.bias[...][None, None, None]


def dense_patch_embedding(
    x: Float[Array, "n h w c"], kernel: Float[Array, "p p c C"], bias: Float[Array, " C"]
) -> Float[Array, "n h w C"]:
    """Embed the p×p patch at every pixel, with circular borders; the polyphase components are shifted token maps."""
    after = len(kernel) - 1
    return correlate(x, kernel, margins=((0, after), (0, after)), wrap=True) + bias[None, None, None]
