"""The interface of pooling layers, and the dense maximum with which some of them start."""

from __future__ import annotations

import functools
from abc import abstractmethod
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.padding import Padding, pad
from cnnshift.options import Options


class Downsampler(nnx.Module):
    """A layer that divides the resolution (or keeps it, for `none`).

    Class attributes:
        options_type: options of the layer; the first is named after the layer.
        selects: whether every output is one of the inputs, also after any increasing function of the inputs. Such a
            pointwise function can then follow the layer, with 1/s² of the work and the same values.
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
        maximum: whether `blur`, `ddac` and the layers that select or weight polyphase components start with the dense
            maximum, in place of a max-pool; False in place of a stride.
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


def dense_max(x: Float[Array, "n h w c"], padding: Padding, window: int = 2) -> Float[Array, "n H W c"]:
    """Return the maximum over windows at stride 1 (Zhang 2019, section 3.2): x[i + {0, 1}, j + {0, 1}] for window 2.

    The padding fills the border (see `pad_widths`): `valid` loses window − 1 rows and columns, `full` gains as many.
    Bitwise equivariant to every circular shift with circular padding.
    """
    x = pad(x, window, padding)
    count, height, width, channels = x.shape
    # Rows as one long axis: a channel axis shorter than a vector register is slow on a CPU.
    rows = x.reshape(count, height, width * channels)
    height, width = height - window + 1, width - window + 1
    rows = functools.reduce(jnp.maximum, (rows[:, a : a + height] for a in range(window)))
    starts = range(0, window * channels, channels)
    rows = functools.reduce(jnp.maximum, (rows[:, :, b : b + width * channels] for b in starts))
    return rows.reshape(count, height, width, channels)
