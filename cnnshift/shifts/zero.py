"""Protocol `zero`: the background value enters, and pixels that leave are lost."""

import jax.numpy as jnp
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.shifts.base import ShiftProtocol


class Zero(ShiftProtocol):
    """Fills vacated pixels with the background value; `energy_loss` reports the foreground that leaves."""

    name = "zero"

    @override
    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n H W c"]:
        windows = self.window(sources)
        count, height, width, channels = windows.shape
        background = jnp.asarray(self.background, windows.dtype)
        shape = (count, height + 2 * self.reach, width + 2 * self.reach, channels)
        canvas = jnp.broadcast_to(background[None, None, None], shape)
        return canvas.at[:, self.reach : self.reach + height, self.reach : self.reach + width, :].set(windows)
