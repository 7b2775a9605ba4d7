"""`pool=aps`: adaptive polyphase sampling (Chaman & Dokmanić 2021, section 3)."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models import base
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.max_pool import dense_max
from cnnshift.models.layers.padding import Padding
from cnnshift.models.layers.phases import phases


class PolyphaseOptions(base.Options):
    """`aps`: the norm that chooses."""

    aps: Literal["l1", "l2", "inf"] = "l2"


class PolyphasePool(Downsampler):
    """Dense maximum, then the polyphase component of largest norm over positions and channels, for every image.

    With circular padding and even sizes, a shift of the input permutes the components and shifts them: the same one is
    chosen, and the layer is equivariant to every shift. Exactness ends at ties (the first is taken), at odd sizes, and
    at a border that does not wrap.
    """

    options_type = PolyphaseOptions

    def __init__(self, channels: int, *, padding: Padding, options: PolyphaseOptions, rngs: nnx.Rngs) -> None:
        self.padding: Padding = padding
        self.norm = options.aps

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Halve the resolution."""
        components = phases(dense_max(x, self.padding))
        norms = jnp.stack([self._norm(component) for component in components])
        choice = norms.argmax(axis=0)[:, None, None, None]
        a, b, c, d = components
        return jnp.where(choice < 2, jnp.where(choice == 0, a, b), jnp.where(choice == 2, c, d))

    def _norm(self, x: Float[Array, "n h w c"]) -> Float[Array, " n"]:
        """A monotone function of the norm, which is all that a choice needs."""
        if self.norm == "inf":
            return jnp.abs(x).max(axis=(1, 2, 3))
        return (jnp.abs(x) if self.norm == "l1" else x * x).sum(axis=(1, 2, 3))
