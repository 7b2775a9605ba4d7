"""`mixer`: alternating MLPs along the positions and the channels of patches (Tolstikhin et al. 2021)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pydantic
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.head import Head
from cnnshift.models.layers.mlp_block import MlpBlock
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.layers.token_mixing import TokenMixing
from cnnshift.models.patch_classifier import PatchClassifier, PatchOptions


class MixerOptions(PatchOptions):
    """`tokens` and `channels`: hidden units of the two MLPs of a block, D_S and D_C in the paper."""

    tokens: Annotated[int, pydantic.Field(ge=1, le=16384)] = 64
    channels: Annotated[int, pydantic.Field(ge=1, le=16384)] = 128
    head: Head = "gap"


class MixerBlock(nnx.Module):
    """z = x + mix(LN x), y = z + mlp(LN z) (section 2, equation 1)."""

    def __init__(self, positions: int, options: MixerOptions, *, rngs: nnx.Rngs) -> None:
        self.norm1: Any = make_norm("layer", options.width, rngs=rngs)
        self.mixing = TokenMixing(positions, options.tokens, rngs=rngs)
        self.norm2: Any = make_norm("layer", options.width, rngs=rngs)
        self.mlp = MlpBlock(options.width, options.channels, rngs=rngs)

    def __call__(self, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
        """Apply the block."""
        x = x + self.mixing(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Mixer(PatchClassifier):
    """Patches as in `vit`, with separate weights for every position: a control, not equivariant to any shift.

    Mixer-B/16 is `patch=16,width=768,depth=12,tokens=384,channels=3072` (table 1).
    """

    options_type = MixerOptions
    version = 1
    learning_rate: ClassVar[float] = 3e-3

    @override
    def _make_block(self, options: MixerOptions, grid: tuple[int, int], *, rngs: nnx.Rngs) -> MixerBlock:
        return MixerBlock(grid[0] * grid[1], options, rngs=rngs)
