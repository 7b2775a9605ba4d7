"""`pool=avg`: s×s mean at stride s, 2 by default."""

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components


class AveragePool(Downsampler):
    """Mean of x[s·i + {0 … s−1}, s·j + {0 … s−1}]; incomplete windows at the end are dropped."""

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        components = polyphase_components(crop_to_multiple(x, self.stride), self.stride)
        return 1 / self.stride**2 * _pairwise_sum(components)


def _pairwise_sum(terms: list[Array]) -> Array:
    """Return (a + b) + (c + d)."""
    half = len(terms) // 2
    return _pairwise_sum(terms[:half]) + _pairwise_sum(terms[half:]) if half else terms[0]
