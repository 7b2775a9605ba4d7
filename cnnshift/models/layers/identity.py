"""`pool=none`: keep the resolution."""

from typing import ClassVar

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.base import Options
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.padding import Padding


class Identity(Downsampler):
    """Nothing is done: with circular padding the network stays equivariant to every shift."""

    selects: ClassVar[bool] = True
    shift_equivariant: ClassVar[bool] = True
    alias_free: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        *,
        padding: Padding,
        options: Options,
        rngs: nnx.Rngs,
        maximum: bool = True,
        stride: int = 2,
    ) -> None:
        super().__init__(channels, padding=padding, options=options, rngs=rngs, maximum=maximum, stride=1)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """The input."""
        return x
