"""`ti_pool`: the maximum over a group of circular shifts, around any family."""

from __future__ import annotations

import math
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from cnnshift.models.over_orbit import OverOrbit


class TiPool(OverOrbit):
    """g_e(x) = max_{d ∈ G} φ_e(T_d x), then the classifier; G the circular shifts by multiples of `step`.

    φ are the inner network's penultimate features, one channel e at a time: each is seen under the shift that suits it
    best (Laptev et al. 2016, TI-pooling, section 3.2, there with rotations). g(T_d x) = g(x) for d ∈ G, bit by bit as
    far as the inner network rounds alike wherever an image stands in a batch. The gradient goes to the shift of the
    maximum, in equal parts where several tie in succession.
    """

    version = 1
    start: ClassVar[float] = -math.inf

    @staticmethod
    def combine(so_far: Float[Array, "n e"], embedding: Float[Array, "n e"]) -> Float[Array, "n e"]:
        """The larger of both, channel by channel."""
        return jnp.maximum(so_far, embedding)

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n 1 1 e"]:
        """The largest of the inner network's penultimate features, as a map of one position."""
        return self.over_orbit(images)[:, None, None, :]
