"""Normalisation, by name: `none`, `batch`, `layer` or `alias_free`."""

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
    """y = γ (x − μ) / √(σ² + ε) + β, μ and σ² over all positions and channels of an image, γ and β of a channel.

    No position is treated apart, so that the layer is linear but for one number per image, which no shift changes, by
    whatever fraction of a pixel (Michaeli et al. 2023, section 3.2; the authors' code takes μ over the channels of each
    position, which is linear as well). The highest frequency of an even size does not count in σ²: a shift by a
    fraction makes it smaller. γ starts at 1, β at 0, ε is 1e-5.
    """

    def __init__(self, channels: int) -> None:
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalise every image."""
        x = x - x.mean(axis=(1, 2, 3), keepdims=True)
        variance = jnp.square(remove_nyquist(x)).mean(axis=(1, 2, 3), keepdims=True)
        scale, bias = self.scale[...][None, None, None], self.bias[...][None, None, None]
        return x * lax.rsqrt(variance + _EPSILON) * scale + bias


def make_norm(norm: Norm, channels: int, *, rngs: nnx.Rngs) -> nnx.BatchNorm | nnx.LayerNorm | AliasFreeNorm | None:
    """A normalisation layer, or None.

    `batch`: per channel over images and positions, ε 1e-5, momentum 0.9 (0.99, the library's default, would lag behind
    a short training). It starts in evaluation mode, with running statistics; `model.train()` switches.
    `layer`: over the channels of each position (Liu et al. 2022, section 2.6), so that no position sees another one;
    ε 1e-5.
    `alias_free`: see `AliasFreeNorm`.
    """
    if norm == "batch":
        return nnx.BatchNorm(channels, use_running_average=True, momentum=0.9, epsilon=_EPSILON, rngs=rngs)
    if norm == "alias_free":
        return AliasFreeNorm(channels)
    return nnx.LayerNorm(channels, epsilon=_EPSILON, rngs=rngs) if norm == "layer" else None
