"""Normalization, by name: `none`, `batch`, `layer` or `alias_free`."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from cnnshift.models.layers.resampling import remove_nyquist

Norm = Literal["none", "batch", "layer", "alias_free"]

_EPSILON = 1e-5


class AliasFreeNorm(nnx.Module):
    """y = γ (x − μ) / √(σ² + ε) + β, μ and σ² over all positions and channels of an image, γ and β per channel.

    The layer is linear except for one factor per image, which no fractional shift changes (Michaeli et al. 2023,
    section 3.2; the authors' code computes μ over the channels of each position, which is linear as well). σ² excludes
    the Nyquist frequency of an even size, which a fractional shift attenuates. γ starts at 1, β at 0; ε is 1e-5.
    """

    def __init__(self, channels: int) -> None:
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        x = x - x.mean(axis=(1, 2, 3), keepdims=True)
        variance = jnp.square(remove_nyquist(x)).mean(axis=(1, 2, 3), keepdims=True)
        scale, bias = self.scale[...][None, None, None], self.bias[...][None, None, None]
        return x * lax.rsqrt(variance + _EPSILON) * scale + bias


def make_norm(norm: Norm, channels: int, *, rngs: nnx.Rngs) -> nnx.BatchNorm | nnx.LayerNorm | AliasFreeNorm | None:
    """Build a normalization layer, or None.

    `batch`: per channel over images and positions, ε 1e-5, momentum 0.9 (the default of Flax, 0.99, is too slow for a
    short training). It starts in evaluation mode, with running statistics; `model.train()` switches.
    `layer`: over the channels of each position, without mixing positions (Liu et al. 2022, section 2.6); ε 1e-5.
    `alias_free`: see `AliasFreeNorm`.
    """
    if norm == "batch":
        return nnx.BatchNorm(channels, use_running_average=True, momentum=0.9, epsilon=_EPSILON, rngs=rngs)
    if norm == "alias_free":
        return AliasFreeNorm(channels)
    return nnx.LayerNorm(channels, epsilon=_EPSILON, rngs=rngs) if norm == "layer" else None
