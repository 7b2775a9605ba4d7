"""`pool=stride`: keep one pixel in s×s, 2×2 by default."""

from typing import ClassVar

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler


class Subsample(Downsampler):
    """y[i, j] = x[s·i, s·j], ⌈h/s⌉ × ⌈w/s⌉. Equivariant to multiples of s only.

    After a convolution, the convolution takes the stride, so that batch normalization reads the remaining pixels only.
    """

    selects: ClassVar[bool] = True
    is_stride: ClassVar[bool] = True

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        return x[:, :: self.stride, :: self.stride]
