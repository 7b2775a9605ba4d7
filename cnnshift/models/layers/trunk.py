"""A stack of blocks: position-wise weights, normalisation, activation, downsampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.models.layers.activation import ACTIVATIONS, Activation
from cnnshift.models.layers.normalization import normalization
from cnnshift.registry import DOWNSAMPLERS

MakeWeights = Callable[[tuple[int, int, int], int], nnx.Module]


class Block(nnx.Module):
    """weights → normalisation → activation → downsampling."""

    def __init__(self, weights: nnx.Module, norm: Any, activation: Activation, pool: nnx.Module) -> None:
        self.weights, self.norm, self.pool = weights, norm, pool
        self.activation = activation

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """One block."""
        x = self.weights(x)  # type: ignore[operator]
        if self.norm is not None:
            x = self.norm(x)
        return self.pool(ACTIVATIONS[self.activation](x))  # type: ignore[operator]


def make_blocks(
    make_weights: MakeWeights, input_shape: tuple[int, int, int], widths: list[int], options: Any, *, rngs: nnx.Rngs
) -> tuple[list[Block], tuple[int, int, int]]:
    """Blocks of the given widths, and the shape (H, W, C) that they leave.

    Raises:
        InputError: a map shrinks below one pixel.
    """
    blocks, shape = [], input_shape
    for position, width in enumerate(widths, start=1):
        weights = make_weights(shape, width)
        pool_type = DOWNSAMPLERS.load(options.pool)
        pool = pool_type(width, padding=options.padding, options=options.pool_options, rngs=rngs)
        block = Block(weights, normalization(options.norm, width, rngs=rngs), options.activation, pool)
        before, shape = shape, _shape_after(block, shape)
        if min(shape) < 1:
            raise InputError(
                f"depth is {len(widths)}, but block {position} leaves nothing of its {before[0]}×{before[1]} map; "
                "choose fewer blocks, pool=none or another padding."
            )
        blocks.append(block)
    return blocks, shape


def _shape_after(block: Block, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        # Normalisation and activation keep the shape, and running statistics must not be touched here.
        weighted = nnx.eval_shape(block.weights, jax.ShapeDtypeStruct((1, *shape), "float32"))
        out = nnx.eval_shape(block.pool, weighted)
    except (TypeError, ValueError):
        return 0, 0, 0
    return out.shape[1], out.shape[2], out.shape[3]
