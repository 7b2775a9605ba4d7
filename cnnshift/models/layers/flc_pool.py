"""`pool=flc`: frequency low-cut (Grabinski et al. 2022, section 3)."""

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple
from cnnshift.models.layers.resampling import downsampling_matrix, resample


class FlcPool(Downsampler):
    """Fourier transform, the lowest h/s × w/s frequencies, inverse transform at that size, real part: linear.

    The paper halves; other strides s keep the lowest 1/s of the frequencies of each axis. Values keep their scale: a
    constant stays what it is. The kept frequencies are −m/2 … m/2 − 1 for an even m = h/s: of the highest one only one
    sign fits, and the real part, taken axis by axis, leaves half of its amplitude (the paper's transform takes it once
    for both axes, which differs where both frequencies are ±m/2 alone).

    The map is taken as a torus whatever the padding. Equivariant to every shift by multiples of s, and, but for that
    highest frequency, to every fraction of a pixel; sizes that s does not divide lose their last rows and columns, and
    exactness with them.
    """

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        x = crop_to_multiple(x, self.stride)
        rows, columns = (downsampling_matrix(size, self.stride, highest=True) for size in x.shape[1:3])
        return resample(x, rows, columns)
