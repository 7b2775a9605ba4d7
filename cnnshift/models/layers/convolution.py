"""Convolution with every kind of padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from cnnshift.models.layers.padding import Padding, pad

FEW_CHANNELS = 2
"""Input channels up to which shifted multiply-adds beat the convolution library on CPU (measured: 3 to 15 times)."""


class Convolution(nnx.Module):
    """A stride-1 convolution, y[i, j] = b + Σ x[i + u, j + v] k[u, v].

    Weights start He-normal over the fan-in, biases at 0.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the window, odd.
        padding: what lies beyond the border.
        bias: whether there is one; none before batch normalisation, which has its own.
        rngs: of the initial weights.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, padding: Padding, bias: bool = True, rngs: nnx.Rngs
    ) -> None:
        shape = (kernel, kernel, inputs, outputs)
        self.kernel = nnx.Param(nnx.initializers.he_normal()(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(outputs)) if bias else None
        self.padding: Padding = padding

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Convolve a batch of maps."""
        kernel = self.kernel[...]
        y = convolve(pad(x, len(kernel), self.padding), kernel)
        return y if self.bias is None else y + self.bias[...][None, None, None]


def convolve(x: Float[Array, "n h w c"], kernel: Float[Array, "k k c C"]) -> Float[Array, "n H W C"]:
    """The convolution of an input that is padded already, by whatever is fastest for its shape and the backend."""
    if jax.default_backend() == "cpu" and x.shape[-1] <= FEW_CHANNELS:
        return _multiply_add(x, kernel)
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _multiply_add(x: Float[Array, "n h w c"], kernel: Float[Array, "k k c C"]) -> Float[Array, "n H W C"]:
    """One fused pass of multiply-adds over shifted views of the input."""
    size, _, inputs, _ = kernel.shape
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    terms = [
        x[:, i : i + height, j : j + width, c : c + 1] * kernel[i, j, c][None, None, None]
        for i in range(size)
        for j in range(size)
        for c in range(inputs)
    ]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
