"""Blocks one after the other: what a trunk is made of, whatever its family."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import jax
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.models.stage import MapFunction, Stage

Shape = tuple[int, int, int]
"""(H, W, C) of a map."""


class Block(nnx.Module):
    """A block x ↦ downsample(dense(x)), see `Stage` for what the two promise where the block is_circular."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """By what the block divides the resolution."""

    @property
    @abstractmethod
    def is_circular(self) -> bool:
        """The weights are shared by all positions, and what has borders is_circular around."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """One block."""
        return self.downsample(self.dense(x))

    @abstractmethod
    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """What comes before the resolution falls."""

    @abstractmethod
    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The rest."""


BlockT = TypeVar("BlockT", bound=Block)


def apply_layers(layers: Iterable[MapFunction], x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
    """All layers, in order."""
    return functools.reduce(lambda y, layer: layer(y), layers, x)


def group_stages(blocks: Sequence[Block]) -> list[Stage]:
    """The blocks as stages: those of stride 1 are the beginning of the next dense part, or the end of the last one.

    At least one stage; a trunk without any stride is a single one of stride 1.
    """
    found: list[Stage] = []
    waiting: list[MapFunction] = []
    for block in blocks:
        if block.stride == 1:
            waiting.append(block)
        else:
            dense = functools.partial(apply_layers, (*waiting, block.dense))
            found.append(Stage(block.stride, dense, block.downsample))
            waiting = []
    rest = functools.partial(apply_layers, tuple(waiting))
    if not found:
        return [Stage(1, rest, lambda x: x)]
    last = found.pop()
    return [*found, last._replace(downsample=functools.partial(apply_layers, (last.downsample, *waiting)))]


def build_blocks(makers: Sequence[Callable[[Shape], BlockT]], shape: Shape, asked: str) -> tuple[list[BlockT], Shape]:
    """Blocks one after the other, each made for the shape (H, W, C) that those before it leave, and what all leave.

    Nothing is computed but shapes.

    Args:
        makers: from the shape of a map to the block that takes it.
        shape: of the first map.
        asked: the option that decides how many blocks there are, and its value, for the message.

    Raises:
        InputError: a map shrinks below one pixel.
    """
    blocks: list[BlockT] = []
    for number, make in enumerate(makers, start=1):
        block = None
        try:
            block = make(shape)
            # A function of its own for every block: nothing of the module but the shape may leave the evaluation.
            out = jax.eval_shape(lambda x, block=block: block(x), jax.ShapeDtypeStruct((1, *shape), "float32"))
            after = (out.shape[1], out.shape[2], out.shape[3])
            cause = None
        except (TypeError, ValueError) as problem:
            after, cause = (0, 0, 0), problem
        if block is None or min(after) < 1:
            raise InputError(
                f"{asked}, but block {number} of {len(makers)} leaves nothing of its {shape[0]}×{shape[1]} map; "
                "choose fewer blocks, less downsampling, such as pool=none, or another padding."
            ) from cause
        blocks.append(block)
        shape = after
    return blocks, shape


def output_shape(blocks: Sequence[Block], shape: Shape, asked: str) -> Shape:
    """The shape that finished blocks leave of a map of that shape; see `grow`."""
    return build_blocks([lambda _, block=block: block for block in blocks], shape, asked)[1]
