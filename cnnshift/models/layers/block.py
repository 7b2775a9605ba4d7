"""Blocks of a feature extractor, their grouping into stages, and the shapes of their maps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import jax
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.models.stage import MapFunction, Shape, Stage


class Block(nnx.Module):
    """x ↦ downsample(dense(x)), each the identity by default. If the block is circular, they are those of a `Stage`.

    Attributes:
        stride: factor by which the block divides the resolution.
        is_circular: whether all positions share the weights and every border is circular.
    """

    stride: int = 1
    is_circular: bool = True

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        return self.downsample(self.dense(x))

    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Apply the part before the resolution is divided."""
        return x

    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Apply the remaining part."""
        return x


BlockT = TypeVar("BlockT", bound=Block)


def apply_layers(layers: Iterable[MapFunction], x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
    """Apply layers in order."""
    return functools.reduce(lambda y, layer: layer(y), layers, x)


def group_stages(blocks: Sequence[Block]) -> list[Stage]:
    """Group blocks into stages, each of which ends with a block of stride > 1.

    Blocks of stride 1 belong to the dense part of the next stage; those after the last stride, to the last stage. There
    is at least one stage: without any stride, a single one of stride 1.
    """
    grouped: list[Stage] = []
    pending: list[MapFunction] = []
    for block in blocks:
        if block.stride == 1:
            pending.append(block)
        else:
            dense = functools.partial(apply_layers, (*pending, block.dense))
            grouped.append(Stage(block.stride, dense, block.downsample))
            pending = []
    if not grouped:
        return [Stage(1, functools.partial(apply_layers, tuple(pending)), lambda x: x)]
    last = grouped.pop()
    return [*grouped, last._replace(downsample=functools.partial(apply_layers, (last.downsample, *pending)))]


def build_blocks(
    factories: Sequence[Callable[[Shape], BlockT]], input_shape: Shape, option: str
) -> tuple[list[BlockT], Shape]:
    """Build consecutive blocks, each by a function of its input shape; return them and the shape of the last map.

    `option` is the option that sets the number of blocks, and its value, for the error message. Blocks are only traced
    for their output shapes.

    Raises:
        InputError: a map shrinks below one pixel.
    """
    blocks: list[BlockT] = []
    shape = input_shape
    for number, factory in enumerate(factories, start=1):
        block, after, cause = None, (0, 0, 0), None
        try:
            block = factory(shape)
            # A new function per block, because JAX caches traces by function.
            out = jax.eval_shape(lambda x, block=block: block(x), jax.ShapeDtypeStruct((1, *shape), "float32"))
            after = (out.shape[1], out.shape[2], out.shape[3])
        except (TypeError, ValueError) as error:
            cause = error
        if block is None or min(after) < 1:
            raise InputError(
                f"{option}, but block {number} of {len(factories)} leaves no pixel of its {shape[0]}×{shape[1]} map; "
                "choose fewer blocks, less downsampling, such as pool=none, or another padding."
            ) from cause
        blocks.append(block)
        shape = after
    return blocks, shape


def output_shape(blocks: Sequence[Block], input_shape: Shape, option: str) -> Shape:
    """Return the shape of the last map of finished blocks; see `build_blocks`."""
    return build_blocks([lambda _, block=block: block for block in blocks], input_shape, option)[1]
