"""`activation=poly`: an alias-free polynomial of degree 2 (Michaeli et al. 2023, section 3.2)."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.resampling import half_pixel_shift_matrix, remove_nyquist, resample

START = (0.0169, 0.5, 0.3078)
"""Initial a, b and c: the degree-2 fit to GELU that the authors' code starts with."""


class Polynomial(nnx.Module):
    """x ↦ a + b x + c x² at twice the resolution, with a, b and c per channel, then an ideal low-pass and a stride.

    Squaring doubles the highest frequency, which the finer grid represents; the low-pass filter removes the frequencies
    that the original grid cannot represent. The layer commutes with fractional shifts, up to rounding. Twice the
    resolution suffices for degree 2 only. The Nyquist frequency of an even size, which has no real fractional shift, is
    dropped.

    The finer grid consists of the map and its shifts by half a pixel, down, right and both. The low-pass and the stride
    average the four results, each shifted back: y = ¼ Σ_d T_{−d} p(T_d x), d ∈ {0, ½}².

    Borders are circular whatever the padding. The output grows without bound with the input: deep networks need
    `norm=alias_free`.

    Attributes:
        increasing: see `Activation`; False for a parabola.
    """

    def __init__(self, channels: int) -> None:
        self.increasing = False
        self.coefficients = nnx.Param(jnp.tile(jnp.array(START)[:, None], (1, channels)))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        rows, columns = (half_pixel_shift_matrix(size) for size in x.shape[1:3])
        still = remove_nyquist(x)
        down = resample(still, rows, None)
        right, both = resample(still, None, columns), resample(down, None, columns)
        # The transpose shifts back. Columns first: the two maps shifted down then share the shift of rows.
        still = self._polynomial(still) + resample(self._polynomial(right), None, columns.T)
        down = self._polynomial(down) + resample(self._polynomial(both), None, columns.T)
        return 0.25 * (remove_nyquist(still) + resample(remove_nyquist(down), rows.T, None))

    def _polynomial(self, x: Array) -> Array:
        a, b, c = self.coefficients[...]
        return a[None, None, None] + x * (b[None, None, None] + c[None, None, None] * x)
