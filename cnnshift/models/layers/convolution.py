"""Convolution with every kind of padding."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.correlation import correlate
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.padding import ZERO_FILLED, Padding, pad, pad_widths


class Convolution(nnx.Module):
    """y[i, j] = b + Σ x[s·i + u − m, s·j + v − m] k[u, v], m the padding before an axis (see `pad_widths`).

    With circular padding, equivariant to circular shifts by multiples of s. Weights start He-normal over the fan-in,
    biases at 0.

    Args:
        shape: (H, W, channels) of the input.
        outputs: output channels.
        kernel: side of the window, odd.
        padding: values beyond the border.
        stride: s, on both axes.
        bias: whether there is a bias; not needed before batch normalization.
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
        return self.add_bias(self.without_bias(x))

    def without_bias(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Return the convolution without the bias."""
        kernel = self.kernel[...]
        widths, wrap = pad_widths(len(kernel), self.padding), self.padding == "circular"
        if self.padding not in ZERO_FILLED and not wrap:
            x, widths = pad(x, len(kernel), self.padding), (0, 0)
        # `correlate` pads with zeros or circularly itself, without a copy of the maps.
        return correlate(x, kernel, margins=(widths, widths), wrap=wrap, stride=self.stride)

    def add_bias(self, x: Float[Array, "n h w C"]) -> Float[Array, "n h w C"]:
        """Add the bias, which is the same at every position, so that a pooling layer can come before it."""
        return x if self.bias is None else x + self.bias[...][None, None, None]
