"""`polyvit`: the vision transformer with polyphase anchoring (Ding et al. 2023)."""

from __future__ import annotations

from typing import ClassVar

from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.polyphase_anchoring import Anchor, PolyphaseAnchoring
from cnnshift.models.stage import Shape
from cnnshift.models.transformer import Position, Transformer, TransformerOptions


class PolyVitOptions(TransformerOptions):
    """`anchor`: whether the norm of the tokens or of the image selects the polyphase component."""

    position: Position = "conv"
    anchor: Anchor = "tokens"


class PolyVit(Transformer):
    """`vit` on images that polyphase anchoring has rolled.

    With `position=none`, `conv` or `circular` and any head but `flatten`, invariant to every circular shift, untrained
    or trained, except for ties (see `PolyphaseAnchoring`). From Ding et al. 2023: anchoring before the patch embedding
    (section 3.2) and the circular depthwise convolution as position embedding (section 3.1), here before the first
    block, with global attention. `anchor=tokens`, the default, and `position=circular` are the adaptive tokenization
    and relative position of Rojas-Gomez et al. 2024. `anchor=image` is that of Ding et al.; it ties on saturated images
    (5 of the 1,000 test digits of mnist5k).
    """

    options_type = PolyVitOptions
    version = 1
    learning_rate: ClassVar[float] = 3e-3

    def __init__(self, options: PolyVitOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.anchoring = PolyphaseAnchoring(options.patch, options.anchor)

    @override
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        return super().features(self.anchoring(images, self.embedding))
