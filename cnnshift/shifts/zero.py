"""Protocol `zero`: vacated pixels get the background value, and the foreground that leaves is lost."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from cnnshift.shifts.base import ShiftProtocol


class Zero(ShiftProtocol):
    """See the module."""

    name = "zero"

    def extend(self, windows: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Put the background around the image."""
        count, height, width, channels = windows.shape
        background = jnp.asarray(self.background, windows.dtype)
        shape = (count, height + 2 * self.reach, width + 2 * self.reach, channels)
        empty = jnp.broadcast_to(background[None, None, None], shape)
        return empty.at[:, self.reach : self.reach + height, self.reach : self.reach + width, :].set(windows)
