"""A convolution of non-overlapping patches; pooling layers can implement its stride."""

from __future__ import annotations

import math
from typing import Any

from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.block import Block, apply_layers
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.layers.padding import Padding, pad_margins


class PatchConvolution(Block):
    """y[i, j] = b + Σ x[p·i + u, p·j + v] k[u, v], 0 ≤ u, v < p: one position per p×p patch, p a power of two.

    With `pool=stride` the convolution has stride p, without padding; incomplete patches at the end are dropped. With
    any other pooling layer the convolution is dense, its window extends to the right and downwards, and log₂ p pooling
    layers follow. At the positions that `stride` keeps, the dense values equal those of the patches.

    Args:
        channels: (input channels, output channels).
        patch: p.
        padding: of the dense convolution.
        pools: log₂ p pooling layers for the output's channels.
        norm_before, norm_after: whether layer normalization comes first, or last.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        patch: int,
        *,
        padding: Padding,
        pools: list[Downsampler],
        norm_before: bool = False,
        norm_after: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        strided = patch > 1 and pools[0].is_stride
        shape = (patch, patch, channels[0])
        self.norm_before: Any = make_norm("layer", channels[0], rngs=rngs) if norm_before else None
        self.weights = Convolution(
            shape, channels[1], patch, padding="valid", stride=patch if strided else 1, rngs=rngs
        )
        self.norm_after: Any = make_norm("layer", channels[1], rngs=rngs) if norm_after else None
        self.pools = nnx.List([] if strided else pools)
        self.patch = patch
        self.padding: Padding = padding
        self.stride = self.weights.stride * math.prod(pool.stride for pool in self.pools)
        self.is_circular = strided or patch == 1 or padding == "circular"

    @override
    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        return x if self.weights.stride > 1 else self._convolve(x)

    @override
    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        x = self._convolve(x) if self.weights.stride > 1 else apply_layers(self.pools, x)
        return x if self.norm_after is None else self.norm_after(x)

    def _convolve(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        x = x if self.norm_before is None else self.norm_before(x)
        margin = self.patch - 1
        if self.weights.stride == 1 and margin and self.padding != "valid":
            margins = (margin if self.padding == "full" else 0, margin)
            x = pad_margins(x, (margins, margins), self.padding)
        return self.weights(x)
