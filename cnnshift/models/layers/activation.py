"""Pointwise activations, by name."""

from __future__ import annotations

from typing import Literal

import jax
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.polynomial import Polynomial

ActivationName = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "identity"]

MapActivationName = Literal[ActivationName, "poly"]
"""Activations of feature maps."""

ALIAS_FREE = ("identity", "poly")
"""Activations that create no frequencies above Nyquist."""


class Activation(nnx.Module):
    """A pointwise function of `jax.nn`: equivariant to every shift by whole positions.

    `leaky_relu` has slope 0.01 below zero. `gelu` is the tanh approximation (Hendrycks & Gimpel 2016, section 2). The
    derivative of `relu` at 0 is 0.

    Attributes:
        increasing: whether the function is monotonically increasing (not strictly).
    """

    def __init__(self, name: ActivationName) -> None:
        self.name = name
        self.increasing = name not in ("gelu", "silu")

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return x if self.name == "identity" else getattr(jax.nn, self.name)(x)


def make_activation(name: MapActivationName, channels: int) -> Activation | Polynomial:
    """Build the activation of maps with that number of channels."""
    return Polynomial(channels) if name == "poly" else Activation(name)
