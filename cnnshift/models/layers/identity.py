"""`pool=none`: keep the resolution."""

from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler


class Identity(Downsampler):
    """The identity, with stride 1."""

    selects: ClassVar[bool] = True
    shift_equivariant: ClassVar[bool] = True
    alias_free: ClassVar[bool] = True

    @override
    def _setup(self, channels: int, options: Any, rngs: nnx.Rngs) -> None:
        self.stride = 1

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        return x
