"""`pool=aps`: adaptive polyphase sampling (Chaman & Dokmanić 2021, section 3)."""

from __future__ import annotations

from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components, select_component
from cnnshift.options import Options


class PolyphaseOptions(Options):
    """`aps`: the norm that selects the component."""

    aps: Literal["l1", "l2", "inf"] = "l2"


class PolyphasePool(Downsampler):
    """Dense maximum, then, per image, the polyphase component of largest norm over positions and channels.

    With circular padding and sizes that the stride s divides, a shift of the input permutes and shifts the components.
    The same one is selected, so that the layer is equivariant to every shift. The dense maximum copies the largest
    value into all s² components, so that their `inf` norms tie; `l2` then decides. The other components get no
    gradient.

    The property is not exact for ties, of which the first component is taken; for norms that differ by less than the
    rounding of their sum; for other sizes, which lose their last rows and columns; and for other paddings.
    """

    options_type = PolyphaseOptions
    shift_equivariant: ClassVar[bool] = True

    @override
    def _setup(self, channels: int, options: PolyphaseOptions, rngs: nnx.Rngs) -> None:
        self.norm = options.aps

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        components = polyphase_components(crop_to_multiple(self._dense_maximum(x), self.stride), self.stride)
        scores = self._scores(jnp.abs(lax.stop_gradient(jnp.stack(components))))
        return select_component(components, scores.argmax(axis=0))

    def _scores(self, magnitudes: Float[Array, "p n h w c"]) -> Float[Array, "p n"]:
        """Return an increasing function of the norm of each component."""
        if self.norm == "l1":
            return magnitudes.sum(axis=(2, 3, 4))
        squares = (magnitudes * magnitudes).sum(axis=(2, 3, 4))
        if self.norm == "l2":
            return squares
        largest = magnitudes.max(axis=(2, 3, 4))
        return jnp.where(largest == largest.max(axis=0, keepdims=True), squares, -1)
