"""A network behind its preparation: images on the scale 0..1 → logits of the classes of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.loaders.base import AS_THEY_ARE, Preprocess


class Preprocessed(nnx.Module):
    """logits = model(preprocess(images))[:, columns].

    Args:
        model: prepared images → logits.
        preprocess: how images are prepared.
        classes: number of the model's classes, where their names were given.
        columns: of the logits, those of the data's classes; None for all as they are.
    """

    def __init__(
        self,
        model: Callable[[Any], Any],
        preprocess: Preprocess,
        classes: int | None = None,
        columns: tuple[int, ...] | None = None,
    ) -> None:
        self.model = model
        self.preprocess = nnx.static(preprocess)
        self.classes = nnx.static(classes)
        self.columns = nnx.static(columns)

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n k"]:
        """Logits of images on the scale 0..1."""
        return self.choose(self.model(self.preprocess(images)))

    def choose(self, logits: Float[Array, "n K"]) -> Float[Array, "n k"]:
        """The logits of the data's classes.

        Raises:
            InputError: there are more or fewer logits than names of classes: names that do not belong to the model.
        """
        if self.classes is not None and logits.shape[1:] != (self.classes,):
            raise InputError(
                f"The model gives {logits.shape[-1]:,} logits, but classes names {self.classes:,}; allowed: one name "
                "each."
            )
        return logits if self.columns is None else logits[:, jnp.array(self.columns)]


class PreprocessedSplit(Preprocessed):
    """The same for a network that shows its features, as those of the zoo do."""

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The trunk."""
        return self.model.features(self.preprocess(images))  # pyright: ignore[reportFunctionMemberAccess]

    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        """The penultimate features."""
        return self.model.embed(features)  # pyright: ignore[reportFunctionMemberAccess]

    def classify(self, embedding: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """The last layer."""
        return self.choose(self.model.classify(embedding))  # pyright: ignore[reportFunctionMemberAccess]


def preprocessed(
    model: Callable[[Any], Any], preprocess: Preprocess, classes: int | None, columns: tuple[int, ...] | None
) -> Callable[[Any], Any]:
    """The network behind its preparation, see `Preprocessed`; or itself where nothing has to be prepared."""
    if preprocess.model_copy(update={"size": None}) == AS_THEY_ARE and columns is None:
        return model
    parts = all(hasattr(model, name) for name in ("features", "embed", "classify"))
    return (PreprocessedSplit if parts else Preprocessed)(model, preprocess, classes, columns)
