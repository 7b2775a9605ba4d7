"""`pool=avg`: 2×2 mean at stride 2."""

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.phases import even, phases


class AveragePool(Downsampler):
    """Mean of x[2i + {0, 1}, 2j + {0, 1}]; an odd last row or column is left out."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Halve the resolution."""
        a, b, c, d = phases(even(x))
        return 0.25 * ((a + b) + (c + d))
