"""`pool=none`: keep the resolution."""

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler


class Identity(Downsampler):
    """Nothing is done: with circular padding the network stays equivariant to every shift."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """The input."""
        return x
