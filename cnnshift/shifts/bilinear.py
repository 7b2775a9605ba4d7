"""Protocol `bilinear`: shifts by fractions of a pixel with bilinear interpolation and a periodic boundary."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Real
from typing_extensions import override

from cnnshift.shifts.base import ShiftProtocol, pad_borders, slice_window


class Bilinear(ShiftProtocol):
    """Interpolates linearly along each axis.

    With d = m + f, m an integer and 0 ≤ f < 1: (T_d x)[i] = (1 - f) x[i - m] + f x[i - m - 1].

    For whole-pixel shifts the result equals the circular shift bit for bit. For fractions it is also a low-pass filter:
    the frequency ω is attenuated to |1 - f + f e^(-iω)|, the highest one to |1 - 2f|, which is 0 at ½ pixel. A
    change of the prediction can therefore come from the shift or from the blur. `fourier` does not blur, but
    rings at edges. Pixels stay in the range of the image.
    """

    name = "bilinear"
    wraps = True
    fractional = True

    @override
    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n H W c"]:
        # One more pixel than the shift: interpolation uses the neighbour of the last one.
        return pad_borders(self.window(sources), self.reach + 1, "wrap")

    @override
    def move(self, prepared: Float[Array, "n H W c"], d: Real[Array, 2]) -> Float[Array, "n h w c"]:
        whole = jnp.floor(d).astype(jnp.int32)
        down, right = d.astype(prepared.dtype) - whole.astype(prepared.dtype)
        height, width = self.size
        corner = self.reach - whole[0], self.reach - whole[1]
        images = slice_window(prepared, corner, (height + 1, width + 1))
        images = (1 - down) * images[:, 1:] + down * images[:, :-1]
        return (1 - right) * images[:, :, 1:] + right * images[:, :, :-1]
