"""A convolution without weight sharing: every position has its own kernel."""

from __future__ import annotations

import functools
import operator

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.padding import Padding, output_size, pad


class LocalConvolution(nnx.Module):
    """y[i, j] = Σ x[s·i + a − m, s·j + b − m] k[i, j, a, b] + bias[i, j], m as for `Convolution`. Not equivariant.

    Weights start He-normal over the fan-in of one position, biases at 0. With a stride, only the kept positions have
    weights. The arguments are those of `Convolution`.

    Raises:
        ValueError: the window is larger than the padded map.
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
            raise ValueError(f"a window of {kernel} pixels does not fit a map of {shape[0]}×{shape[1]}")
        fan_in = kernel * kernel * shape[2]
        start = he_normal(batch_axes=(0, 1))
        self.kernel = nnx.Param(start(rngs.params(), (height, width, fan_in, outputs)))
        self.bias = nnx.Param(jnp.zeros((height, width, outputs))) if bias else None
        self.size = kernel
        self.padding: Padding = padding
        self.stride = stride

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        kernel = self.kernel[...]
        height, width = kernel.shape[:2]
        # Positions first: every position is a matrix product whose rows are the images.
        x = pad(x, self.size, self.padding).transpose(1, 2, 0, 3)
        down, right = (self.stride * (size - 1) + 1 for size in (height, width))
        views = [
            x[a : a + down : self.stride, b : b + right : self.stride]
            for a in range(self.size)
            for b in range(self.size)
        ]
        if x.shape[-1] == 1:
            # One product per kernel entry is faster than gathering windows (13 µs per image against 55 µs).
            products = (view * kernel[:, :, None, entry] for entry, view in enumerate(views))
            y = functools.reduce(operator.add, products)
        else:
            y = jnp.einsum("hwnf,hwfo->hwno", jnp.concatenate(views, axis=-1), kernel)
        y = y.transpose(2, 0, 1, 3)
        return y if self.bias is None else y + self.bias[...][None]
