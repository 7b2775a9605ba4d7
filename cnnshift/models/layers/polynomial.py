"""`activation=poly`: a polynomial of degree 2 on a finer grid, free of aliasing (Michaeli et al. 2023, section 3.2)."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.resampling import half_pixel_shift_matrix, remove_nyquist, resample

START = (0.0169, 0.5, 0.3078)
"""a, b and c at first: the fit of degree 2 to GELU with which the authors' code starts."""


class Polynomial(nnx.Module):
    """x ↦ a + b x + c x², a, b and c of every channel, at twice the resolution; then an ideal low-pass and back.

    The square doubles the highest frequency, which the finer grid holds, and the low-pass takes away what the map's own
    grid does not: the layer commutes with shifts by any fraction of a pixel, up to rounding. No other degree would with
    twice the resolution. The highest frequency of an even size, which no real shift moves by a fraction, is dropped.

    The finer grid is the map and the map moved by half a pixel, down, right and both. What the low-pass leaves of it is
    the mean of the four results, each moved back: y = ¼ Σ_d T_{−d} p(T_d x), d ∈ {0, ½}².

    The map is taken as a torus whatever the padding. It grows without bound with its input: deep networks want
    `norm=alias_free`.

    Attributes:
        increasing: as of `Activation`; a parabola is not.

    Args:
        channels: of the input.
    """

    def __init__(self, channels: int) -> None:
        self.increasing = False
        self.coefficients = nnx.Param(jnp.tile(jnp.array(START)[:, None], (1, channels)))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Apply it."""
        rows, columns = (half_pixel_shift_matrix(size) for size in x.shape[1:3])
        still = remove_nyquist(x)
        down = resample(still, rows, None)
        right, both = resample(still, None, columns), resample(down, None, columns)
        # Moving back is the transpose; columns first, so that the two that were moved down go back together.
        still = self._polynomial(still) + resample(self._polynomial(right), None, columns.T)
        down = self._polynomial(down) + resample(self._polynomial(both), None, columns.T)
        return 0.25 * (remove_nyquist(still) + resample(remove_nyquist(down), rows.T, None))

    def _polynomial(self, x: Array) -> Array:
        a, b, c = self.coefficients[...]
        return a[None, None, None] + x * (b[None, None, None] + c[None, None, None] * x)
