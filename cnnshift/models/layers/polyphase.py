"""The polyphase components of a map: what each start of a stride keeps."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def crop_to_multiple(x: Float[Array, "n h w c"], stride: int = 2) -> Float[Array, "n H W c"]:
    """The map without the last rows and columns that the stride leaves over."""
    return x[:, : x.shape[1] // stride * stride, : x.shape[2] // stride * stride]


def polyphase_components(x: Float[Array, "n h w c"], stride: int = 2) -> list[Float[Array, "n H W c"]]:
    """Components (0, 0), (0, 1), … (s − 1, s − 1) of a map whose sizes the stride s divides: x[a::s, b::s]."""
    return [x[:, a::stride, b::stride] for a in range(stride) for b in range(stride)]


def select_component(components: list[Float[Array, "n H W c"]], choice: Int[Array, " n"]) -> Float[Array, "n H W c"]:
    """For every image the component of that index."""
    return _pick(components, choice[:, None, None, None], 0)


def _pick(components: list[Array], choice: Array, first: int) -> Array:
    if len(components) == 1:
        return components[0]
    half = len(components) // 2
    left, right = _pick(components[:half], choice, first), _pick(components[half:], choice, first + half)
    return jnp.where(choice < first + half, left, right)
