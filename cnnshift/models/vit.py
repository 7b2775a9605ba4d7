"""`vit`: the vision transformer (Dosovitskiy et al. 2021)."""

from typing import ClassVar

from cnnshift.models.transformer import Transformer


class Vit(Transformer):
    """Pre-norm attention blocks on patches, GELU, no dropout.

    With `position=none`, `conv` or `circular` and any head but `flatten`, invariant to circular shifts by multiples of
    `patch` only, up to rounding.

    ViT-B/16 is `patch=16,width=768,depth=12,heads=12,mlp=4,head=token`; with `width=192,heads=3` it is ViT-Ti/16
    (Touvron et al. 2021, table 1).
    """

    version = 1
    learning_rate: ClassVar[float] = 3e-3
