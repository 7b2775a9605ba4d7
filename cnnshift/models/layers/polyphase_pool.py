"""`pool=aps`: adaptive polyphase sampling (Chaman & Dokmanić 2021, section 3)."""

from __future__ import annotations

from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from cnnshift.models import base
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.padding import Padding
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components, select_component


class PolyphaseOptions(base.Options):
    """`aps`: the norm that chooses."""

    aps: Literal["l1", "l2", "inf"] = "l2"


class PolyphasePool(Downsampler):
    """Dense maximum, then the polyphase component of largest norm over positions and channels, for every image.

    With circular padding and sizes that the stride s divides, a shift of the input permutes the components and shifts
    them: the same one is chosen, and the layer is equivariant to every shift. The dense maximum copies the largest
    value into all s² components, so that `inf` alone would never choose: where it ties, l2 decides. The components that
    are not chosen get no gradient.

    Exactness ends at ties, of which the first component is taken, and at norms that differ by less than the rounding of
    their sum; at other sizes, whose last rows and columns are left out; and at a border that does not wrap.
    """

    options_type = PolyphaseOptions
    shift_equivariant: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        *,
        padding: Padding,
        options: PolyphaseOptions,
        rngs: nnx.Rngs,
        maximum: bool = True,
        stride: int = 2,
    ) -> None:
        super().__init__(channels, padding=padding, options=options, rngs=rngs, maximum=maximum, stride=stride)
        self.norm = options.aps

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        components = polyphase_components(crop_to_multiple(self._dense_maximum(x), self.stride), self.stride)
        scores = self._scores(jnp.abs(lax.stop_gradient(jnp.stack(components))))
        return select_component(components, scores.argmax(axis=0))

    def _scores(self, sizes: Float[Array, "p n h w c"]) -> Float[Array, "p n"]:
        """A monotone function of the norm, which is all that a choice needs."""
        if self.norm == "l1":
            return sizes.sum(axis=(2, 3, 4))
        squares = (sizes * sizes).sum(axis=(2, 3, 4))
        if self.norm == "l2":
            return squares
        largest = sizes.max(axis=(2, 3, 4))
        return jnp.where(largest == largest.max(axis=0, keepdims=True), squares, -1)
