"""Convolution with every kind of padding."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.correlation import correlate
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.padding import ZERO_FILLED, Padding, pad, pad_widths


class Convolution(nnx.Module):
    """y[i, j] = b + Σ x[s·i + u − m, s·j + v − m] k[u, v], m the margin of the padding (see `amounts`).

    Equivariant to every shift at stride s = 1, to multiples of s otherwise, as far as the padding goes. Weights start
    He-normal over the fan-in, biases at 0.

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
        start = he_normal()
        self.kernel = nnx.Param(start(rngs.params(), (kernel, kernel, shape[2], outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs)) if bias else None
        self.padding: Padding = padding
        self.stride = stride

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Convolve a batch of maps."""
        return self.add_bias(self.without_bias(x))

    def without_bias(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The linear part."""
        kernel = self.kernel[...]
        around, wrap = pad_widths(len(kernel), self.padding), self.padding == "circular"
        if self.padding not in ZERO_FILLED and not wrap:
            x, around = pad(x, len(kernel), self.padding), (0, 0)
        # Zeros and wrapping need no copy of the maps: the arithmetic supplies them.
        return correlate(x, kernel, margins=(around, around), wrap=wrap, stride=self.stride)

    def add_bias(self, x: Float[Array, "n h w C"]) -> Float[Array, "n h w C"]:
        """The rest: the same at every position, so that a layer may come between the two."""
        return x if self.bias is None else x + self.bias[...][None, None, None]
