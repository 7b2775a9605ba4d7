"""Protocol `reflect`: the mirrored image enters; the border pixel is not repeated."""

from jaxtyping import Array, Float

from cnnshift.shifts.base import ShiftProtocol, pad


class Reflect(ShiftProtocol):
    """See the module."""

    name = "reflect"

    def extend(self, windows: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Mirror the image at its border pixels."""
        return pad(windows, self.reach, "reflect")
