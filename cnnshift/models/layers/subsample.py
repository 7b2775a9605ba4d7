"""`pool=stride`: keep one pixel in s×s, 2×2 by default."""

from typing import ClassVar

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler


class Subsample(Downsampler):
    """x[s·i, s·j], ⌈h/s⌉ × ⌈w/s⌉: what a stride of s keeps.

    Equivariant to multiples of s only. Behind a convolution the stride is the convolution's: batch normalisation
    then sees the pixels that are kept.
    """

    selects: ClassVar[bool] = True
    is_stride: ClassVar[bool] = True

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        return x[:, :: self.stride, :: self.stride]
