"""Protocol `crop`: a window slides over a larger source image, and real pixels enter."""

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.errors import InputError
from cnnshift.shifts.base import ShiftProtocol


class Crop(ShiftProtocol):
    """Moves the window over the source image, up to its context (Zhang 2019, section 4.2)."""

    name = "crop"

    def __post_init__(self) -> None:
        if not self.context:
            raise InputError(
                "The protocol 'crop' needs source images larger than the window, and these have no context; "
                "choose a data set with context (shapes) or a larger canvas (--canvas)."
            )
        super().__post_init__()

    @override
    def limit(self) -> int:
        return self.context

    @override
    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n H W c"]:
        margin = self.context - self.reach
        return sources[:, margin : sources.shape[1] - margin, margin : sources.shape[2] - margin, :]
