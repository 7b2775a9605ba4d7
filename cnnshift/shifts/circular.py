"""Protocol `circular`: the image is a torus: what leaves on one side enters on the other."""

from jaxtyping import Array, Float

from cnnshift.shifts.base import ShiftProtocol, pad


class Circular(ShiftProtocol):
    """See the module."""

    name = "circular"
    wraps = True

    def extend(self, windows: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Continue the torus."""
        return pad(windows, self.reach, "wrap")
