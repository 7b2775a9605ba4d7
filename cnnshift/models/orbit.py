"""`orbit`: the average of a backbone over a group of circular shifts."""

from __future__ import annotations

from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.group_pooling import GroupPooling


class Orbit(GroupPooling):
    """f̄(x) = 1/|G| Σ_{d ∈ G} f(T_d x), G the circular shifts by multiples of `step`: |G| = H·W / step².

    f returns the backbone's logits; probabilities are not averaged. f̄(T_d x) = f̄(x) for d ∈ G and any f, up to the
    rounding of the sum (group averaging, Yarotsky 2018; Puny et al. 2022, where a frame replaces the whole group). With
    `step=1`, G contains every circular shift; for shifts between the multiples of `step`, invariance depends on the
    backbone.

    The mean of the logits is computed as the last layer, which is affine, of the mean penultimate features.
    """

    version = 1

    @staticmethod
    @override
    def pool_embeddings(embeddings: Float[Array, "s n e"]) -> Float[Array, "n e"]:
        return embeddings.mean(axis=0)
