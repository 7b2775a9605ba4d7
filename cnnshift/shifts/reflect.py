"""Protocol `reflect`: the mirrored image enters."""

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.shifts.base import ShiftProtocol, pad_borders


class Reflect(ShiftProtocol):
    """Mirrors the image at its border pixels, which are not repeated."""

    name = "reflect"

    @override
    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n H W c"]:
        return pad_borders(self.window(sources), self.reach, "reflect")
