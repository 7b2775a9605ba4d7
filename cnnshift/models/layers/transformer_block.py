"""A transformer block: attention between tokens, then an MLP on every token."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.attention import Attention
from cnnshift.models.layers.mlp_block import MlpBlock
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.layers.relative_position import RelativePosition


class TransformerBlock(nnx.Module):
    """z = x + attention(LN x), y = z + mlp(LN z): pre-norm (Dosovitskiy et al. 2021, section 3.1, equations 2 and 3).

    Without a relative position, or with a circular one, equivariant to every circular shift of the token map. The MLP
    has `ratio` hidden units per channel. `relative` is the bias of the attention between patch tokens. A class token
    has none, so that the bias of the last block has no effect if only the class token is read.
    """

    def __init__(
        self, width: int, heads: int, ratio: int, relative: RelativePosition | None, *, rngs: nnx.Rngs
    ) -> None:
        self.norm1: Any = make_norm("layer", width, rngs=rngs)
        self.relative = relative
        self.attention = Attention(width, heads, rngs=rngs)
        self.norm2: Any = make_norm("layer", width, rngs=rngs)
        self.mlp = MlpBlock(width, ratio * width, rngs=rngs)

    def __call__(self, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
        x = x + self.attention(self.norm1(x), self._bias(x.shape[1]))
        return x + self.mlp(self.norm2(x))

    def _bias(self, tokens: int) -> Float[Array, "heads t t"] | None:
        if self.relative is None:
            return None
        bias = self.relative()
        before = tokens - bias.shape[1]
        return jnp.pad(bias, ((0, 0), (before, 0), (before, 0)))
