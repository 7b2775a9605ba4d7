"""`pool=avg`: s×s mean at stride s, 2 by default."""

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components


class AveragePool(Downsampler):
    """Mean of x[s·i + {0 … s−1}, s·j + {0 … s−1}]; rows and columns that do not fill a window are left out."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        return 1 / self.stride**2 * _sum(polyphase_components(crop_to_multiple(x, self.stride), self.stride))


def _sum(parts: list[Array]) -> Array:
    """In pairs: (a + b) + (c + d)."""
    half = len(parts) // 2
    return _sum(parts[:half]) + _sum(parts[half:]) if half else parts[0]
