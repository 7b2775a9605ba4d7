"""Convolution with every kind of padding."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.correlation import NO_MARGINS, correlate
from cnnshift.models.layers.padding import ZEROS, Padding, amounts, pad


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
        if self.padding in ZEROS:
            # Zeros need no copy of the map: the arithmetic supplies them.
            around = amounts(len(kernel), self.padding)
            margins = around, around
        else:
            x, margins = pad(x, len(kernel), self.padding), NO_MARGINS
        y = correlate(x, kernel, margins=margins)
        return y if self.bias is None else y + self.bias[...][None, None, None]
