"""The interface of pooling layers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.dense_max import dense_max
from cnnshift.models.layers.padding import Padding
from cnnshift.options import Options


class Downsampler(nnx.Module):
    """A layer that divides the resolution (or keeps it, for `none`).

    Class attributes:
        options_type: options of the layer; the first is named after the layer.
        selects: whether every output is one of the inputs, also after any increasing function of the inputs. Such a
            pointwise function can then follow the layer, with a quarter of the work and the same values.
        shift_equivariant: whether the layer commutes with every circular shift, up to a shift of its output by whole
            positions, for circular padding and sizes that the stride divides.
        alias_free: whether the same holds for fractional shifts of the input and of the output. Exact only if the
            following layers are alias-free too.
        one_layer: whether the layer probe lists the layer as a whole.
        is_stride: whether the layer is equal to a stride, so that the preceding convolution takes the stride.

    Attributes:
        stride: s, the factor by which the layer divides the resolution. For circular padding and sizes that s divides,
            the layer commutes with circular shifts by multiples of s.

    Args:
        channels: of the input and output.
        padding: padding of the family, for layers with overlapping windows.
        options: options of the layer.
        maximum: whether to start with the dense maximum, in place of a max-pool; False in place of a stride. Used by
            `blur`, `ddac` and the layers that select or weight polyphase components.
        stride: s, on both axes.
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
        self._setup(channels, options, rngs)

    def _setup(self, channels: int, options: Any, rngs: nnx.Rngs) -> None:
        """Create the weights and attributes of a subclass."""

    def _dense_maximum(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Apply the dense maximum over s×s neighbours, unless `maximum` is False."""
        return dense_max(x, self.padding, self.stride) if self.maximum else x

    @abstractmethod
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Downsample a batch of maps."""
