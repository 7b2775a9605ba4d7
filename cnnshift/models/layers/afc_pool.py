"""`pool=afc`: alias-free downsampling (Michaeli et al. 2023, section 3.2)."""

from typing import ClassVar

from jaxtyping import Array, Float

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple
from cnnshift.models.layers.resampling import downsampling_matrix, resample


class AfcPool(Downsampler):
    """Ideal low-pass at the new grid's highest frequency, which is dropped, then every s-th pixel: linear.

    The map is taken as a torus whatever the padding. For sizes that s divides, T_{d/s} pool(x) = pool(T_d x) for a
    shift d by any fraction of a pixel (`fourier_shift`), up to rounding. It has no dense maximum, which would make
    frequencies without end. What comes next keeps that only where it is alias-free too: linear, `activation=poly`,
    `norm=alias_free`, `head=gap`. Other sizes lose their last rows and columns, and exactness with them. An
    output of one or two pixels is the mean.
    """

    alias_free: ClassVar[bool] = True

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        x = crop_to_multiple(x, self.stride)
        rows, columns = (downsampling_matrix(size, self.stride, highest=False) for size in x.shape[1:3])
        return resample(x, rows, columns)
