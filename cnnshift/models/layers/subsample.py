"""`pool=stride`: keep every second pixel."""

from typing import ClassVar

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler


class Subsample(Downsampler):
    """x[2i, 2j], ⌈h/2⌉ × ⌈w/2⌉: what a stride of 2 keeps.

    Equivariant to even shifts only. Behind a convolution the stride is the convolution's: batch normalisation then sees
    the pixels that are kept.
    """

    selects: ClassVar[bool] = True
    is_stride: ClassVar[bool] = True

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Halve the resolution."""
        return x[:, ::2, ::2]
