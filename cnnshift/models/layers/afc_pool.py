"""`pool=afc`: alias-free downsampling (Michaeli et al. 2023, section 3.2)."""

from typing import ClassVar

from cnnshift.models.layers.flc_pool import FlcPool


class AfcPool(FlcPool):
    """An ideal low-pass filter that drops the output's Nyquist frequency, then every s-th pixel: linear.

    Borders are circular whatever the padding. For sizes that s divides, T_{d/s} pool(x) = pool(T_d x) for every
    fractional shift d (`fourier_shift`), up to rounding. Other sizes lose their last rows and columns, and exactness.
    There is no dense maximum, which aliases. The network keeps the property only if all its layers are alias-free:
    linear layers, `activation=poly`, `norm=alias_free`, `head=gap`. An output of one or two pixels is the mean.
    """

    alias_free: ClassVar[bool] = True
    keeps_nyquist: ClassVar[bool] = False
