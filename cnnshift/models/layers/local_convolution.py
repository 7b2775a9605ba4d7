"""A convolution without weight sharing: every position has a kernel of its own."""

from __future__ import annotations

import functools
import operator

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.padding import Padding, output_size, pad


class LocalConvolution(nnx.Module):
    """y[i, j] = Σ x[s·i + a − m, s·j + b − m] k[i, j, a, b] + bias[i, j]: local like a convolution, not equivariant.

    Weights start He-normal over the fan-in of one position, biases at 0. With a stride, only the kept positions have
    weights.

    Args:
        shape: (H, W, channels) of the input.
        outputs: channels.
        kernel: side of the window, odd.
        padding: what lies beyond the border.
        stride: s, on both axes.
        bias: whether there is one; none before batch normalisation, which has its own.
        rngs: of the initial weights.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        kernel: int,
        *,
        padding: Padding,
        stride: int = 1,
        bias: bool = True,
        rngs: nnx.Rngs,
    ) -> None:
        height, width = (max(output_size(size, kernel, padding, stride), 0) for size in shape[:2])
        if not height * width:
            raise ValueError(f"a window of {kernel} pixels has no place on a map of {shape[0]}×{shape[1]}")
        fan_in = kernel * kernel * shape[2]
        start = he_normal(batch_axis=(0, 1))
        self.kernel = nnx.Param(start(rngs.params(), (height, width, fan_in, outputs)))
        self.bias = nnx.Param(jnp.zeros((height, width, outputs))) if bias else None
        self.size = kernel
        self.padding: Padding = padding
        self.stride = stride

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Apply each position's kernel to its window."""
        kernel = self.kernel[...]
        height, width = kernel.shape[:2]
        # Positions first: the images then are the rows of one matrix product for every position.
        x = pad(x, self.size, self.padding).transpose(1, 2, 0, 3)
        down, right = (self.stride * (size - 1) + 1 for size in (height, width))
        views = [
            x[a : a + down : self.stride, b : b + right : self.stride]
            for a in range(self.size)
            for b in range(self.size)
        ]
        if x.shape[-1] == 1:
            # One product per entry of the kernel costs less than gathering windows (13 against 55 µs an image).
            products = (view * kernel[:, :, None, entry] for entry, view in enumerate(views))
            y = functools.reduce(operator.add, products)
        else:
            y = jnp.einsum("hwnf,hwfo->hwno", jnp.concatenate(views, axis=-1), kernel)
        y = y.transpose(2, 0, 1, 3)
        return y if self.bias is None else y + self.bias[...][None]
