"""A position embedding made of what surrounds a token: a depthwise convolution that wraps around."""

from __future__ import annotations

import functools
import operator

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.initializers import lecun_normal
from cnnshift.models.layers.padding import pad

_KERNEL = 3


class ConditionalPosition(nnx.Module):
    """y[i, j] = x[i, j] + b + Σ_{u, v} k[u, v] x[i + u − 1, j + v − 1], channel by channel, 3×3, indices modulo (H, W).

    The positional encoding generator of Chu et al. 2021 (section 3) with circular padding, as Ding et al. 2023
    (section 3.1) use it: their zeros at the border would tell absolute positions, this tells neighbours apart and is
    equivariant to every circular shift of the tokens. Weights start LeCun-normal over the nine of a channel, biases at
    0.

    Args:
        width: channels.
        rngs: of the initial weights.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        start = lecun_normal()
        self.kernel = nnx.Param(start(rngs.params(), (_KERNEL, _KERNEL, 1, width)))
        self.bias = nnx.Param(nnx.initializers.zeros(rngs.params(), (width,)))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Add it to a batch of maps."""
        # Shifted multiples: a CPU's depthwise convolution is slow.
        _, rows, columns, _ = x.shape
        around, kernel = pad(x, _KERNEL, "circular"), self.kernel[...]
        products = (
            around[:, u : u + rows, v : v + columns] * kernel[u, v][None, None]
            for u in range(_KERNEL)
            for v in range(_KERNEL)
        )
        return functools.reduce(operator.add, products, x + self.bias[...][None, None, None])
