"""Protocol `crop`: a window slides over a larger source image, and real pixels enter (Zhang 2019, section 4.2)."""

from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.shifts.base import ShiftProtocol


class Crop(ShiftProtocol):
    """See the module."""

    name = "crop"

    def __post_init__(self) -> None:
        if not self.context:
            raise InputError(
                "The protocol 'crop' needs source images larger than the window, and these have no pixels around it; "
                "choose a data set with context (shapes) or a larger canvas (--canvas)."
            )
        super().__post_init__()

    def limit(self) -> int:
        """The pixels that are there."""
        return self.context

    def extend(self, windows: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Nothing to add: the real pixels are in the sources."""
        return windows

    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n H W c"]:
        """The sources, cut to the pixels that can come into view."""
        margin = self.context - self.reach
        return sources[:, margin : sources.shape[1] - margin, margin : sources.shape[2] - margin, :]
