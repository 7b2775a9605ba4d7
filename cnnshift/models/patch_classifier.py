"""The classifier of families that cut images into patches: embedding, blocks on tokens, a head, a linear layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import pydantic
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.base import Classifier
from cnnshift.models.layers.head import apply_head, embedding_size, make_attention_pool
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.layers.patch_embedding import PatchEmbedding
from cnnshift.models.stage import Shape
from cnnshift.options import Options

PatchHead = Literal["flatten", "gap", "gmp", "token"]
"""A head of feature maps (see `apply_head`), or the class token."""


class PatchOptions(Options):
    """`patch`: side of a patch in pixels. `width`: channels of a token. `depth`: number of blocks."""

    patch: Annotated[int, pydantic.Field(ge=1, le=64)] = 4
    width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 64
    depth: Annotated[int, pydantic.Field(ge=1, le=48)] = 2


class PatchClassifier(Classifier):
    """Patch embedding, position embedding, `depth` blocks, layer normalization, a head, one linear layer.

    The blocks process tokens [n t c], row by row; `features` returns them as a map. A class token, which includes its
    position embedding, precedes the others. The map then has 2C channels: those of the patches, followed by those of
    the class token, which are equal at every position and are the penultimate features.

    Args:
        options: of a family, with a field `head`.
        input_shape: (H, W, channels) of the images; `patch` divides both sides.
        classes: k.
    """

    def __init__(self, options: PatchOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        self.embedding = PatchEmbedding(input_shape, options.patch, options.width, rngs=rngs)
        self.total_stride = options.patch
        grid = self.embedding.grid
        self.position = self._make_position(options, grid, rngs=rngs)
        self.readout: PatchHead = getattr(options, "head")  # noqa: B009 - a field of subclasses
        self.readout_kind = "linear" if self.readout == "flatten" else "global"
        self.token = nnx.Param(jnp.zeros(options.width)) if self.readout == "token" else None
        self.blocks = nnx.List(self._make_block(options, grid, rngs=rngs) for _ in range(options.depth))
        self.norm: Any = make_norm("layer", options.width, rngs=rngs)
        self.attention = make_attention_pool(self.readout, options.width, rngs=rngs)
        size = options.width if self.readout == "token" else embedding_size(*grid, options.width, self.readout)
        self.classifier = nnx.Linear(size, classes, kernel_init=he_normal(), rngs=rngs)

    @abstractmethod
    def _make_block(self, options: Any, grid: tuple[int, int], *, rngs: nnx.Rngs) -> Any:
        """Build a layer [n t c] → [n t c] for token maps of that size."""

    def _make_position(self, options: Any, grid: tuple[int, int], *, rngs: nnx.Rngs) -> Any:
        """Build a layer on the token map, or None."""
        return None

    @classmethod
    @override
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        return {"head": {"head": "gap"}} if options.head == "flatten" else {}

    @override
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        x = self.embedding(images)
        if self.position is not None:
            x = self.position(x)
        count, rows, columns, width = x.shape
        tokens = x.reshape(count, rows * columns, width)
        if self.token is not None:
            first = jnp.broadcast_to(self.token[...][None, None], (count, 1, width))
            tokens = jnp.concatenate([first, tokens], axis=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        if self.token is not None:
            first, tokens = tokens[:, :1], tokens[:, 1:]
            tokens = jnp.concatenate([tokens, jnp.broadcast_to(first, tokens.shape)], axis=-1)
        return tokens.reshape(count, rows, columns, -1)

    @override
    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        if self.readout == "token":
            return features[:, 0, 0, features.shape[-1] // 2 :]
        return apply_head(features, self.readout, self.attention)
