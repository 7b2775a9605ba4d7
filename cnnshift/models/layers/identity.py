"""`pool=none`: keep the resolution."""

from typing import ClassVar

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler


class Identity(Downsampler):
    """Nothing is done: with circular padding the network stays equivariant to every shift."""

    selects: ClassVar[bool] = True
    stride: ClassVar[int] = 1

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """The input."""
        return x
