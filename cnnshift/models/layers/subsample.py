"""`pool=stride`: keep every second pixel."""

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.phases import phases


class Subsample(Downsampler):
    """x[2i, 2j]: after a convolution and a pointwise activation, what a convolution with stride 2 computes."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Halve the resolution."""
        return phases(x)[0]
