"""A convolution without weight sharing: every position has a kernel of its own."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.padding import Padding, output_size, pad


class LocallyConnected(nnx.Module):
    """y[i, j] = b[i, j] + Σ x[i + u, j + v] k[i, j, u, v]: the locality of a convolution without its equivariance.

    Weights start He-normal over the fan-in of one position, biases at 0.

    Args:
        shape: (H, W, channels) of the input.
        outputs: channels.
        kernel: side of the window, odd.
        padding: what lies beyond the border.
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
        bias: bool = True,
        rngs: nnx.Rngs,
    ) -> None:
        height, width = (max(output_size(size, kernel, padding), 0) for size in shape[:2])
        fan_in = kernel * kernel * shape[2]
        start = nnx.initializers.he_normal(batch_axis=(0, 1))
        self.kernel = nnx.Param(start(rngs.params(), (height, width, fan_in, outputs)))
        self.bias = nnx.Param(jnp.zeros((height, width, outputs))) if bias else None
        self.size = kernel
        self.padding: Padding = padding

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Apply each position's kernel to its window."""
        height, width = self.kernel[...].shape[:2]
        x = pad(x, self.size, self.padding)
        offsets = [(i, j) for i in range(self.size) for j in range(self.size)]
        windows = jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in offsets], axis=-1)
        y = jnp.einsum("nhwf,hwfo->nhwo", windows, self.kernel[...])
        return y if self.bias is None else y + self.bias[...][None]
