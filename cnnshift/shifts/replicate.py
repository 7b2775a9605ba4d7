"""Protocol `replicate`: copies of the border pixels enter."""

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.shifts.base import ShiftProtocol, pad_borders


class Replicate(ShiftProtocol):
    """Repeats the border pixels of the image."""

    name = "replicate"

    @override
    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n H W c"]:
        return pad_borders(self.window(sources), self.reach, "edge")
