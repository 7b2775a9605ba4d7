"""`ti_pool`: the maximum of a backbone's features over a group of circular shifts."""

from __future__ import annotations

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.group_pooling import GroupPooling


class TiPool(GroupPooling):
    """g_e(x) = max_{d ∈ G} φ_e(T_d x), then the classifier; G the circular shifts by multiples of `step`.

    φ_e is channel e of the backbone's penultimate features (TI-pooling, Laptev et al. 2016, there with rotations).
    g(T_d x) = g(x) for d ∈ G, bitwise if the backbone's rounding is the same at every index of a batch. The gradient
    goes to the shift of the maximum; shifts that tie share it.
    """

    version = 1

    @staticmethod
    @override
    def pool_embeddings(embeddings: Float[Array, "s n e"]) -> Float[Array, "n e"]:
        return embeddings.max(axis=0)
