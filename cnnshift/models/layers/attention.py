"""Self-attention with several heads."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError


class Attention(nnx.Module):
    """y_i = b + Σ_h W_h Σ_j softmax_j(q_i·k_j / √d + B_ij) v_j, (q, k, v)_h linear in x (Vaswani et al. 2017, 3.2).

    d = C / heads, C the width. Without a bias B the layer commutes with every permutation of the tokens, and so with
    every circular shift of their map, up to the rounding of reordered sums. Weights start Glorot-uniform, biases at 0.

    Raises:
        InputError: the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs) -> None:
        if width % heads:
            raise InputError(f"heads is {heads}; allowed: divisors of the width, {width}.")
        start = nnx.initializers.glorot_uniform()
        # Initialize q, k and v separately: their fan-out is C, not 3C.
        matrices = [start(rngs.params(), (width, width)) for _ in range(3)]
        self.qkv = nnx.Param(jnp.concatenate(matrices, axis=1))
        self.qkv_bias = nnx.Param(jnp.zeros(3 * width))
        self.out = nnx.Param(start(rngs.params(), (width, width)))
        self.out_bias = nnx.Param(jnp.zeros(width))
        self.heads = heads

    def __call__(
        self, x: Float[Array, "n t c"], bias: Float[Array, "heads t t"] | None = None
    ) -> Float[Array, "n t c"]:
        count, tokens, width = x.shape
        projected = x @ self.qkv[...] + self.qkv_bias[...][None, None]
        q, k, v = jnp.moveaxis(projected.reshape(count, tokens, 3, self.heads, width // self.heads), 2, 0)
        scores = jnp.einsum("nihd,njhd->nhij", q / math.sqrt(q.shape[-1]), k)
        weights = jax.nn.softmax(scores if bias is None else scores + bias[None], axis=-1)
        mixed = jnp.einsum("nhij,njhd->nihd", weights, v).reshape(count, tokens, width)
        return mixed @ self.out[...] + self.out_bias[...][None, None]
