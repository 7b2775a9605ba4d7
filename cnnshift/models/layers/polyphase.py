"""Polyphase components of a map: its subsamplings at each of the s×s offsets of a stride s."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def crop_to_multiple(x: Float[Array, "n h w c"], stride: int = 2) -> Float[Array, "n H W c"]:
    """Drop the last rows and columns so that the stride divides both sizes."""
    return x[:, : x.shape[1] // stride * stride, : x.shape[2] // stride * stride]


def polyphase_components(x: Float[Array, "n h w c"], stride: int = 2) -> list[Float[Array, "n H W c"]]:
    """Return the components x[a::s, b::s] for (a, b) = (0, 0), (0, 1), … (s − 1, s − 1); s divides both sizes."""
    return [x[:, a::stride, b::stride] for a in range(stride) for b in range(stride)]


def select_component(components: list[Float[Array, "n H W c"]], choice: Int[Array, " n"]) -> Float[Array, "n H W c"]:
    """Return, for every image, the component with that index."""
    if len(components) == 1:
        return components[0]
    half = len(components) // 2
    left, right = select_component(components[:half], choice), select_component(components[half:], choice - half)
    return jnp.where((choice < half)[:, None, None, None], left, right)
