"""Protocol `replicate`: the border pixel is repeated."""

from jaxtyping import Array, Float

from cnnshift.shifts.base import ShiftProtocol, pad


class Replicate(ShiftProtocol):
    """See the module."""

    name = "replicate"

    def extend(self, windows: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Repeat the border pixels."""
        return pad(windows, self.reach, "edge")
