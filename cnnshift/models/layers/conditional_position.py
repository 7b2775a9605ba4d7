"""A position embedding that depends on neighbouring tokens: a circular depthwise convolution."""

from __future__ import annotations

import functools
import operator

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.initializers import lecun_normal
from cnnshift.models.layers.padding import pad


class ConditionalPosition(nnx.Module):
    """y[i, j] = x[i, j] + b + Σ_{u, v} k[u, v] x[i + u − 1, j + v − 1], channel by channel, 3×3, indices modulo (H, W).

    The positional encoding generator of Chu et al. 2021 (section 3) with circular padding, as in Ding et al. 2023
    (section 3.1). Zeros at the border would reveal absolute positions; circular padding is equivariant to every
    circular shift of the tokens. Weights start LeCun-normal with fan-in 9, biases at 0.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        self.kernel = nnx.Param(lecun_normal()(rngs.params(), (3, 3, 1, width)))
        self.bias = nnx.Param(nnx.initializers.zeros(rngs.params(), (width,)))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        # A sum of shifted maps: XLA's depthwise convolution is slow on a CPU.
        _, rows, columns, _ = x.shape
        padded, kernel = pad(x, 3, "circular"), self.kernel[...]
        products = (
            padded[:, u : u + rows, v : v + columns] * kernel[u, v][None, None] for u in range(3) for v in range(3)
        )
        return functools.reduce(operator.add, products, x + self.bias[...][None, None, None])
