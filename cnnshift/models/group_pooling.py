"""Pooling of a backbone's penultimate features over a group of circular shifts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int
from typing_extensions import override

from cnnshift.errors import InputError
from cnnshift.models.stage import Shape, Stage
from cnnshift.models.wrapper import Wrapper, WrapperOptions

MAX_SHIFTS_PER_BATCH = 16


class GroupPoolingOptions(WrapperOptions):
    """`step`: step of the shifts on both axes; a divisor of both sides of the images."""

    step: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8


def group_shifts(size: tuple[int, int], step: int) -> Int[np.ndarray, "s 2"]:
    """Return the group of circular shifts by multiples of `step` for images of size (H, W): H·W / step² shifts.

    Raises:
        InputError: the step does not divide both sides, so that the multiples are no group modulo (H, W).
    """
    if any(side % step for side in size):
        common = [str(divisor) for divisor in range(1, min(size) + 1) if not any(side % divisor for side in size)]
        raise InputError(f"step is {step}; allowed for images of {size[0]}×{size[1]} pixels: {', '.join(common)}.")
    rows, columns = (np.arange(0, side, step, dtype=np.int32) for side in size)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


class GroupPooling(Wrapper):
    """A symmetric function of the backbone's penultimate features at all shifts by multiples of `step`.

    A shift by a multiple of the step permutes the group, so that the result is invariant to it by construction, for any
    backbone. The invariance to other shifts depends on the backbone.

    Up to 16 shifts form a batch. Several batches run in a loop, and training recomputes each for the gradient:
    memory grows by one vector per image and batch. Batch normalization computes its statistics per batch.
    """

    options_type = GroupPoolingOptions

    def __init__(self, options: GroupPoolingOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        group_shifts(input_shape[:2], options.step)
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.step = self.total_stride = options.step
        self.readout_kind = "global"
        # `train()` and `eval()` of NNX modules set this attribute.
        self.deterministic = True

    @staticmethod
    @abstractmethod
    def pool_embeddings(embeddings: Float[Array, "s n e"]) -> Float[Array, "n e"]:
        """Apply a symmetric function g over shifts, with g(all) = g(g of each part) for parts of equal size."""

    def pool_over_group(self, images: Float[Array, "n h w c"]) -> Float[Array, "n e"]:
        """Pool the penultimate features of all shifts.

        Raises:
            InputError: the step does not divide the images' sides.
        """
        shifts = group_shifts((images.shape[1], images.shape[2]), self.step)
        per_batch = max(count for count in range(1, MAX_SHIFTS_PER_BATCH + 1) if len(shifts) % count == 0)
        batches = jnp.asarray(shifts.reshape(-1, per_batch, 2))
        graph, weights, rest = nnx.split(self.backbone, nnx.Param, ...)

        def pool_batch(weights: Any, rest: Any, images: Array, batch: Array) -> tuple[Array, Any]:
            backbone: Any = nnx.merge(graph, weights, rest, copy=True)
            shifted = jnp.concatenate([jnp.roll(images, shift, axis=(1, 2)) for shift in batch])
            embeddings = backbone.embed(backbone.features(shifted))
            pooled = self.pool_embeddings(embeddings.reshape(per_batch, images.shape[0], -1))
            return pooled, nnx.split(backbone, nnx.Param, ...)[2]

        def pool_all(weights: Any, rest: Any, images: Array) -> tuple[Array, Any]:
            if len(batches) == 1:
                # Not in a loop, in which XLA computes convolutions slowly on a CPU.
                return pool_batch(weights, rest, images, batches[0])
            recomputed = jax.checkpoint(pool_batch, prevent_cse=False)

            def body(rest: Any, batch: Array) -> tuple[Any, Array]:
                pooled, rest = recomputed(weights, rest, images, batch)
                return rest, pooled

            rest, parts = lax.scan(body, rest, batches)
            return self.pool_embeddings(parts), rest

        # One operation in a trace, because arrays inside have other batch axes than the images.
        pooled, rest = jax.jit(pool_all)(weights, rest, images)
        if not self.deterministic:
            nnx.update(self.backbone, rest)
        return pooled

    @override
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n 1 1 e"]:
        """Return the pooled vector as a map of one position."""
        return self.pool_over_group(images)[:, None, None, :]

    @override
    def embed(self, features: Float[Array, "n 1 1 e"]) -> Float[Array, "n e"]:
        return features[:, 0, 0, :]

    @override
    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        divides = not any(side % self.step for side in size)
        return [Stage(self.step, lambda x: x, self.features)] if divides else None

    @classmethod
    @override
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        return super().interventions(options) if options.step > 1 else {}
