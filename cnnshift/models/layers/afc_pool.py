"""`pool=afc`: alias-free downsampling (Michaeli et al. 2023, section 3.2)."""

from typing import ClassVar

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple
from cnnshift.models.layers.resampling import downsampling_matrix, resample


class AfcPool(Downsampler):
    """An ideal low-pass filter that drops the output's Nyquist frequency, then every s-th pixel: linear.

    Borders are circular whatever the padding. For sizes that s divides, T_{d/s} pool(x) = pool(T_d x) for every
    fractional shift d (`fourier_shift`), up to rounding. Other sizes lose their last rows and columns, and exactness.
    There is no dense maximum, which aliases. The network keeps the property only if all its layers are alias-free:
    linear layers, `activation=poly`, `norm=alias_free`, `head=gap`. An output of one or two pixels is the mean.
    """

    alias_free: ClassVar[bool] = True

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        x = crop_to_multiple(x, self.stride)
        rows, columns = (downsampling_matrix(size, self.stride, nyquist=False) for size in x.shape[1:3])
        return resample(x, rows, columns)
