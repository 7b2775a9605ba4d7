"""An MLP along the positions, with separate weights for every position."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class TokenMixing(nnx.Module):
    """y[t] = b₂[t] + Σ_s W₂[s, t] gelu(b₁[s] + Σ_u W₁[u, s] x[u]), the same for every channel (Tolstikhin et al. 2021).

    Section 2, equation 1, first line, without its normalization and skip connection. Not equivariant to shifts of the
    tokens. Weights start Glorot-uniform, biases at 0.
    """

    def __init__(self, tokens: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        start = nnx.initializers.glorot_uniform()
        self.kernel1 = nnx.Param(start(rngs.params(), (tokens, hidden)))
        self.bias1 = nnx.Param(jnp.zeros(hidden))
        self.kernel2 = nnx.Param(start(rngs.params(), (hidden, tokens)))
        self.bias2 = nnx.Param(jnp.zeros(tokens))

    def __call__(self, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
        # Not `MlpBlock` on the transpose: the layer probe needs one layer whose output has the token axis in place.
        hidden = jnp.einsum("nuc,us->nsc", x, self.kernel1[...]) + self.bias1[...][None, :, None]
        return jnp.einsum("nsc,st->ntc", jax.nn.gelu(hidden), self.kernel2[...]) + self.bias2[...][None, :, None]
