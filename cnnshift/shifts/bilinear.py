"""Protocol `bilinear`: a pixel between four others is their weighted mean, on the torus."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from cnnshift.shifts.base import ShiftProtocol, cut, pad


class Bilinear(ShiftProtocol):
    """Interpolates linearly along each axis.

    With d = m + f, m whole and 0 ≤ f < 1: (T_d x)[i] = (1 − f) x[i − m] + f x[i − m − 1].

    What most image libraries do. At whole pixels it is the roll, bit by bit. At fractions it is a low-pass besides: an
    axis' frequency ω is damped to |1 − f + f e^(−iω)|, the highest one to |1 − 2f|, most of all at ½ px, where that is
    gone. A model thus sees images that are moved and blurred, and a change of its answer has two possible causes;
    `fourier` has only one, but rings. No pixel leaves the range of the image.
    """

    name = "bilinear"
    wraps = True
    fractional = True

    def extend(self, windows: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Continue the torus, by one pixel more than the shift: the neighbour of the last."""
        return pad(windows, self.reach + 1, "wrap")

    def move(self, prepared: Float[Array, "n H W c"], d: Real[Array, 2]) -> Float[Array, "n h w c"]:
        """T_d of every image of a prepared batch; `d` may be traced, |d|∞ ≤ reach."""
        whole = jnp.floor(d).astype(jnp.int32)
        down, right = d.astype(prepared.dtype) - whole.astype(prepared.dtype)
        height, width = self.size
        corner = self.reach - whole[0], self.reach - whole[1]
        images = cut(prepared, corner, (height + 1, width + 1))
        images = (1 - down) * images[:, 1:] + down * images[:, :-1]
        return (1 - right) * images[:, :, 1:] + right * images[:, :, :-1]
