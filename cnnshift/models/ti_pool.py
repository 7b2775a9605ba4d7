"""`ti_pool`: the maximum over a group of circular shifts, around any family."""

from __future__ import annotations

from jaxtyping import Array, Float

from cnnshift.models.group_pooling import GroupPooling


class TiPool(GroupPooling):
    """g_e(x) = max_{d ∈ G} φ_e(T_d x), then the classifier; G the circular shifts by multiples of `step`.

    φ are the inner network's penultimate features, one channel e at a time: each is seen under the shift that suits it
    best (Laptev et al. 2016, TI-pooling, there with rotations). g(T_d x) = g(x) for d ∈ G, bit by bit as
    far as the inner network rounds alike wherever an image stands in a batch. The gradient goes to the shift of the
    maximum, shared where several tie.
    """

    version = 1

    @staticmethod
    def combine(embeddings: Float[Array, "s n e"]) -> Float[Array, "n e"]:
        """The maximum, channel by channel."""
        return embeddings.max(axis=0)
