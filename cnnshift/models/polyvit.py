"""`polyvit`: the vision transformer behind polyphase anchoring (Ding et al. 2023)."""

from __future__ import annotations

from typing import ClassVar

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.polyphase_anchoring import Anchor, PolyphaseAnchoring
from cnnshift.models.transformer import Position, Transformer, TransformerOptions


class PolyVitOptions(TransformerOptions):
    """`anchor` is what has the norm that chooses the phase: the tokens, or the image itself."""

    position: Position = "conv"
    anchor: Anchor = "tokens"


class PolyVit(Transformer):
    """`vit` whose patches start where the image says, not at its corner.

    With `position=none`, `conv` or `circular` and any head but `flatten`: invariant to every circular shift, untrained
    or trained, ties aside (see `PolyphaseAnchoring`). Of Ding et al. 2023 this is the patch embedding behind polyphase
    anchoring (section 3.2) and the circular depthwise convolution in place of a position embedding (section 3.1), here
    before the first block, with global attention. `anchor=tokens`, the default, and `position=circular` are the
    adaptive tokenization and relative position of Rojas-Gomez et al. 2024; `anchor=image` is the choice of Ding et al.,
    which ties on saturated images (5 of the 1,000 test digits of mnist5k).
    """

    options_type = PolyVitOptions
    version = 1
    learning_rate: ClassVar[float] = 3e-3

    def __init__(
        self, options: PolyVitOptions, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs
    ) -> None:
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.anchoring = PolyphaseAnchoring(options.patch, options.anchor)

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The map of tokens of the anchored images."""
        return super().features(self.anchoring(images, self.embedding))
