"""Known answer of a vision transformer: the effect of patches and of a position embedding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnshift.explanation.equivariance import equivariance_error

SIZE, PATCH, WIDTH, CLASSES = 16, 4, 8, 5


def vit_error(shift: int, *, embedded: bool) -> float:
    """Measure the change of the logits under a circular shift by (shift, −shift) pixels, relative to their norm.

    The network embeds patches of 4×4 pixels, applies one layer of self-attention and averages over the tokens.

    Args:
        shift: in pixels.
        embedded: whether to add a position embedding.

    Source: Dosovitskiy et al. 2021, section 3.1.
    """
    random = np.random.RandomState(0)
    weights = {
        name: jnp.asarray(random.randn(*shape), jnp.float32)
        for name, shape in {
            "embed": (PATCH * PATCH, WIDTH),
            "position": ((SIZE // PATCH) ** 2, WIDTH),
            "query": (WIDTH, WIDTH),
            "key": (WIDTH, WIDTH),
            "value": (WIDTH, WIDTH),
            "out": (WIDTH, CLASSES),
        }.items()
    }

    @jax.jit
    def logits(images: Float[Array, "n h w"]) -> Float[Array, "n k"]:
        side = SIZE // PATCH
        cut = images.reshape(len(images), side, PATCH, side, PATCH).swapaxes(2, 3)
        tokens = cut.reshape(len(images), side * side, PATCH * PATCH) @ weights["embed"]
        if embedded:
            tokens = tokens + weights["position"][None]
        query, key, value = (tokens @ weights[name] for name in ("query", "key", "value"))
        attention = jax.nn.softmax(query @ key.swapaxes(1, 2) / np.sqrt(WIDTH))
        return (tokens + attention @ value).mean(axis=1) @ weights["out"]

    images = jnp.asarray(random.rand(4, SIZE, SIZE), jnp.float32)
    with jax.default_matmul_precision("highest"):
        moved = logits(jnp.roll(images, (shift, -shift), (1, 2)))
        return float(equivariance_error(moved, logits(images)).max())
