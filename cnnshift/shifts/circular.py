"""Protocol `circular`: the boundary is periodic."""

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.shifts.base import ShiftProtocol, pad_borders


class Circular(ShiftProtocol):
    """Rolls the image: pixels that leave on one side enter on the other, so that nothing is lost."""

    name = "circular"
    wraps = True

    @override
    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n H W c"]:
        return pad_borders(self.window(sources), self.reach, "wrap")
