"""`orbit`: the average over a group of circular shifts, around any family."""

from __future__ import annotations

from jaxtyping import Array, Float

from cnnshift.models.group_pooling import GroupPooling


class Orbit(GroupPooling):
    """f̄(x) = 1/|G| Σ_{d ∈ G} f(T_d x), G the circular shifts by multiples of `step`: |G| = H·W / step².

    With f the inner network's logits: the classes' probabilities are not averaged. f̄(T_d x) = f̄(x) for d ∈ G and any f
    (group averaging, Yarotsky 2018; Puny et al. 2022, where a frame stands for the whole
    group), up to the rounding of the sum. With `step=1` that is every circular shift; the default of 8 leaves the
    shifts in between to the inner network.

    The last layer is affine, so that the mean of the logits is the last layer on the mean of the penultimate features,
    which is what is computed.
    """

    version = 1

    @staticmethod
    def combine(embeddings: Float[Array, "s n e"]) -> Float[Array, "n e"]:
        """The mean."""
        return embeddings.mean(axis=0)
