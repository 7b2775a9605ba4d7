"""A convolution of non-overlapping patches, whose stride a pooling layer may take over."""

from __future__ import annotations

import math
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.block import Block, apply_layers
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.layers.padding import Padding, pad_margins


class PatchConvolution(Block):
    """y[i, j] = b + Σ x[p·i + u, p·j + v] k[u, v], 0 ≤ u, v < p: one position per p×p patch (p a power of two).

    With `pool=stride` the convolution takes the stride; a last row or column that fills no patch is left out, and no
    padding is needed. With any other layer the convolution is dense, its window reaching to the right and downwards,
    and log₂ p of these layers follow: at the positions that `stride` keeps, the values are those of the patches.

    Args:
        channels: (of the input, of the output).
        patch: p.
        padding: what the dense convolution and the pooling layers see beyond the border.
        pools: log₂ p pooling layers of the family's choice, made for the output's channels.
        before: normalise the channels of every position (layer normalisation) first …
        after: … or last.
        rngs: of the initial weights.
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

    @property
    def stride(self) -> int:
        """P, or 1 where the layers keep the resolution."""
        return self.weights.stride * math.prod(pool.stride for pool in self.pools)

    @property
    def is_circular(self) -> bool:
        """Patches do not overlap; what does, wraps around if the padding does."""
        return self.weights.stride > 1 or self.patch == 1 or self.padding == "circular"

    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The convolution, unless it has the stride."""
        return x if self.weights.stride > 1 else self._weigh(x)

    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The rest."""
        x = self._weigh(x) if self.weights.stride > 1 else apply_layers(self.pools, x)
        return x if self.norm_after is None else self.norm_after(x)

    def _weigh(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        x = x if self.norm_before is None else self.norm_before(x)
        reach = self.patch - 1
        if self.weights.stride == 1 and reach and self.padding != "valid":
            around = (reach if self.padding == "full" else 0, reach)
            x = pad_margins(x, (around, around), self.padding)
        return self.weights(x)
