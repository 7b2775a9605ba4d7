"""What `orbit` and `ti_pool` share: the inner network's penultimate features of many circular shifts as one vector."""

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

from cnnshift.errors import InputError
from cnnshift.models.base import ReadoutKind
from cnnshift.models.stage import Stage
from cnnshift.models.wrapper import Wrapper, WrapperOptions

MAX_SHIFTS_PER_BATCH = 16
"""Shifts, at most, that make one batch."""


class GroupPoolingOptions(WrapperOptions):
    """`step` is that of the shifts, on both axes, and divides both sides of the image."""

    step: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8


def group_shifts(size: tuple[int, int], step: int) -> Int[np.ndarray, "s 2"]:
    """The circular shifts of images of that size (H, W) by multiples of `step`: a group of H·W / step².

    Raises:
        InputError: the step does not divide both sides; the multiples, modulo the sides, would then be others.
    """
    if any(side % step for side in size):
        common = [str(divisor) for divisor in range(1, min(size) + 1) if not any(side % divisor for side in size)]
        raise InputError(f"step is {step}; allowed for images of {size[0]}×{size[1]} pixels: {', '.join(common)}.")
    rows, columns = (np.arange(0, side, step, dtype=np.int32) for side in size)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


class GroupPooling(Wrapper):
    """The inner network on every shift of an image by multiples of `step`; its penultimate features become one vector.

    A shift by a multiple of the step permutes the group, so that a symmetric function over it is invariant to that
    shift by construction, for any inner network; to other shifts only as far as the inner network is.

    Up to 16 shifts make one batch. Where there are more, one such batch is held at a time, in training too, where the
    passes are computed a second time for the gradient: what grows with the group is then a vector per image and batch,
    and the computing time. Batch normalisation takes its statistics from every such batch by itself.
    """

    options_type = GroupPoolingOptions

    def __init__(
        self, options: GroupPoolingOptions, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs
    ) -> None:
        group_shifts(input_shape[:2], options.step)
        super().__init__(options, input_shape, classes, rngs=rngs)
        self.step = options.step
        # Switched by `train` and `eval`, as in every layer that differs between the two.
        self.deterministic = True

    @staticmethod
    @abstractmethod
    def combine(embeddings: Float[Array, "s n e"]) -> Float[Array, "n e"]:
        """A symmetric function over shifts, the same over groups of equal size as over what they give."""

    def pool_over_group(self, images: Float[Array, "n h w c"]) -> Float[Array, "n e"]:
        """`combine` over the penultimate features of all shifts.

        Raises:
            InputError: the step does not divide the images' sides.
        """
        shifts = group_shifts((images.shape[1], images.shape[2]), self.step)
        together = max(count for count in range(1, MAX_SHIFTS_PER_BATCH + 1) if len(shifts) % count == 0)
        groups = jnp.asarray(shifts.reshape(-1, together, 2))
        graph, weights, rest = nnx.split(self.backbone, nnx.Param, ...)

        def embeddings(weights: Any, rest: Any, images: Array, group: Array) -> tuple[Array, Any]:
            backbone: Any = nnx.merge(graph, weights, rest, copy=True)
            moved = jnp.concatenate([jnp.roll(images, shift, axis=(1, 2)) for shift in group])
            found = backbone.embed(backbone.features(moved))
            combined = self.combine(found.reshape(together, images.shape[0], -1))
            return combined, nnx.split(backbone, nnx.Param, ...)[2]

        def passes(weights: Any, rest: Any, images: Array) -> tuple[Array, Any]:
            if len(groups) == 1:
                # Not in a loop, in which XLA computes convolutions slowly on a CPU.
                return embeddings(weights, rest, images, groups[0])
            again = jax.checkpoint(embeddings, prevent_cse=False)

            def body(rest: Any, group: Array) -> tuple[Any, Array]:
                combined, rest = again(weights, rest, images, group)
                return rest, combined

            rest, parts = lax.scan(body, rest, groups)
            return self.combine(parts), rest

        # One operation to whoever looks at the trace: what goes on inside has other axes than those of the images.
        combined, rest = jax.jit(passes)(weights, rest, images)
        if not self.deterministic:
            nnx.update(self.backbone, rest)
        return combined

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n 1 1 e"]:
        """The combined vector, as a map of one position."""
        return self.pool_over_group(images)[:, None, None, :]

    def embed(self, features: Float[Array, "n 1 1 e"]) -> Float[Array, "n e"]:
        """The combined vector."""
        return features[:, 0, 0, :]

    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        """One stage: shifts by multiples of the step leave the features, a map of one position, as they are."""
        divides = not any(side % self.step for side in size)
        return [Stage(self.step, lambda x: x, self.features)] if divides else None

    @classmethod
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        """The inner family's, for the shifts between those of the orbit; none where every shift belongs to it."""
        return super().interventions(options) if options.step > 1 else {}

    @property
    def total_stride(self) -> int:
        """The step: shifts by multiples of it change nothing."""
        return self.step

    @property
    def readout_kind(self) -> ReadoutKind:
        """`global`: the features have a single position."""
        return "global"
