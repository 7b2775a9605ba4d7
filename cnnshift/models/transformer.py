"""The transformer classifier of `vit` and `polyvit`: attention blocks and position embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
from flax import nnx
from typing_extensions import override

from cnnshift.models.layers.conditional_position import ConditionalPosition
from cnnshift.models.layers.position_embedding import PositionEmbedding
from cnnshift.models.layers.relative_position import RelativePosition
from cnnshift.models.layers.transformer_block import TransformerBlock
from cnnshift.models.patch_classifier import PatchClassifier, PatchHead, PatchOptions
from cnnshift.models.stage import Shape, Stage

Position = Literal["none", "learned", "sincos", "conv", "relative", "circular"]
"""`learned` and `sincos` are added to the tokens (see `PositionEmbedding`). `conv` adds a convolution of neighbouring
tokens (see `ConditionalPosition`). `relative` and `circular` add a bias per offset to the attention of every block;
offsets wrap around for `circular` (see `RelativePosition`)."""

_EQUIVARIANT = ("none", "conv", "circular")


class TransformerOptions(PatchOptions):
    """`mlp`: hidden units of the MLP per channel. `head=token` reads a class token."""

    heads: Annotated[int, pydantic.Field(ge=1, le=64)] = 4
    mlp: Annotated[int, pydantic.Field(ge=1, le=8)] = 2
    position: Position = "learned"
    head: PatchHead = "gap"


class Transformer(PatchClassifier):
    """Attention blocks on patches.

    With `position=none`, `conv` or `circular`, equivariant to circular shifts by multiples of the patch.
    """

    options_type = TransformerOptions

    def __init__(self, options: TransformerOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.is_equivariant = options.position in _EQUIVARIANT

    @override
    def _make_position(
        self, options: TransformerOptions, grid: tuple[int, int], *, rngs: nnx.Rngs
    ) -> PositionEmbedding | ConditionalPosition | None:
        if options.position in ("learned", "sincos"):
            return PositionEmbedding(options.position, grid, options.width, rngs=rngs)
        return ConditionalPosition(options.width, rngs=rngs) if options.position == "conv" else None

    @override
    def _make_block(self, options: TransformerOptions, grid: tuple[int, int], *, rngs: nnx.Rngs) -> TransformerBlock:
        relative = None
        if options.position in ("relative", "circular"):
            relative = RelativePosition(options.heads, grid, wrap=options.position == "circular", rngs=rngs)
        return TransformerBlock(options.width, options.heads, options.mlp, relative, rngs=rngs)

    @override
    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        return [Stage(self.embedding.patch, lambda x: x, self.features)] if self.is_equivariant else None

    @classmethod
    @override
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        found = dict(super().interventions(options))
        if options.position not in _EQUIVARIANT:
            found["position embedding"] = {"position": "conv"}
        return found
