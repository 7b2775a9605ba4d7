"""`pool=flc`: frequency low-cut pooling (Grabinski et al. 2022, section 3)."""

from typing import ClassVar

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple
from cnnshift.models.layers.resampling import downsampling_matrix, resample


class FlcPool(Downsampler):
    """Fourier transform, crop to the lowest h/s × w/s frequencies, inverse transform, real part: linear.

    The paper halves the resolution; a stride s keeps the lowest 1/s of the frequencies of each axis. A constant map
    keeps its value. For an even m = h/s the kept frequencies are −m/2 … m/2 − 1: the Nyquist frequency keeps one of its
    two signs, and the real part, taken axis by axis, half of its amplitude (the paper takes the real part once for both
    axes, which differs only where both frequencies are ±m/2).

    Borders are circular whatever the padding. Equivariant to shifts by multiples of s and, except for the Nyquist
    frequency, to fractional shifts. Sizes that s does not divide lose their last rows and columns, and exactness.
    """

    keeps_nyquist: ClassVar[bool] = True

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        x = crop_to_multiple(x, self.stride)
        rows, columns = (downsampling_matrix(size, self.stride, nyquist=self.keeps_nyquist) for size in x.shape[1:3])
        return resample(x, rows, columns)
