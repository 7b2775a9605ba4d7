"""What every pooling layer is called with, and what it says about itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.base import Options
from cnnshift.models.layers.dense_max import dense_max
from cnnshift.models.layers.padding import Padding


class Downsampler(nnx.Module):
    """A layer that divides the resolution (or keeps it, for `none`).

    Class attributes:
        options_type: the layer's own options; the only one, or the first, is named after the layer.
        selects: every output is one of the inputs, and stays so under any increasing function of them. A pointwise
            increasing function may then come after the layer, where it has a quarter of the work: same values.
        shift_equivariant: with circular padding and sizes that the stride divides, the layer commutes with every
            circular shift, not only with multiples of the stride, up to a shift of its output by whole positions.
        alias_free: the same for shifts by any fraction of a pixel, where the output moves by fractions of positions;
            exact only as long as what follows is alias-free, too.
        one_layer: the layer probe lists it as a whole, and not what it is made of.
        is_stride: the layer is what a stride of 2 does, so that the layer of weights before it takes the stride over
            and never computes what would be thrown away.

    Attributes:
        stride: s, by what it divides the resolution. With circular padding and sizes that it divides, the layer
            commutes with circular shifts by multiples of it.

    Args:
        channels: of its input and output.
        padding: the family's; what a layer with overlapping windows sees beyond the border.
        options: the layer's own.
        maximum: begin with the dense maximum, where the layer stands in for a max-pool; False where it stands in for a
            stride. Of `blur`, `ddac` and those that weigh components; the others have no use for it.
        stride: s, on both axes.
        rngs: of a layer with weights.
    """

    options_type: ClassVar[type[Options]] = Options
    selects: ClassVar[bool] = False
    shift_equivariant: ClassVar[bool] = False
    alias_free: ClassVar[bool] = False
    is_stride: ClassVar[bool] = False
    one_layer: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        *,
        padding: Padding,
        options: Options,
        rngs: nnx.Rngs,
        maximum: bool = True,
        stride: int = 2,
    ) -> None:
        self.padding: Padding = padding
        self.stride = stride
        self.maximum = maximum

    def _dense_maximum(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """The dense maximum over s×s neighbours, where there is one."""
        return dense_max(x, self.padding, self.stride) if self.maximum else x

    @abstractmethod
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Downsample a batch of maps."""
