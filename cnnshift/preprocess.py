"""Preprocessing of images: scale, mean, standard deviation, channel order and layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
import pydantic
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.errors import InputError
from cnnshift.options import Options

Side = Annotated[int, pydantic.Field(ge=1, le=16384, strict=True)]
Size = tuple[Side, Side]
Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


def _parse_size(value: Any) -> Any:
    if isinstance(value, str):
        value = [int(side) if side.isdecimal() else side for side in value.split("x")]
    sides = value if isinstance(value, list) else [value]
    return value if value is None or isinstance(value, tuple) else sides * (2 if len(sides) == 1 else 1)


def _parse_channels(value: Any) -> Any:
    if isinstance(value, str):
        return value.split("/")
    return [value] if isinstance(value, int | float) else value


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return ("x" if isinstance(value[0], int) else "/").join(map(_format, value))
    return str(value).removesuffix(".0")


class Preprocess(Options):
    """The transformation (scale · x − mean) / std of images x on the scale 0..1, then of the order of their axes.

    In a spec, a size is `224` or `224x256` (height x width); values per channel are joined by slashes, as in
    `0.485/0.456/0.406`.

    Attributes:
        size: (H, W) of the images that the model accepts; None for any size.
        scale: 255 for a model that was trained on values from 0 to 255.
        mean, std: in units of scale · x, one number or one per channel in RGB order.
        channel_order: order of the colour channels that the model expects.
        layout: order of the axes that the model expects.
    """

    renamed: ClassVar[Mapping[str, str]] = {"order": "channel_order"}

    size: Annotated[Size | None, pydantic.BeforeValidator(_parse_size)] = None
    scale: Positive = 1.0
    mean: Annotated[tuple[pydantic.FiniteFloat, ...], pydantic.BeforeValidator(_parse_channels)] = (0.0,)
    std: Annotated[tuple[Positive, ...], pydantic.BeforeValidator(_parse_channels)] = (1.0,)
    channel_order: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nhwc", "nchw"] = "nhwc"

    @override
    def changed(self) -> dict[str, str]:
        return {key: _format(getattr(self, key)) for key in super().changed()}

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n _ _ _"]:
        """Transform a batch; images are not resized.

        Raises:
            InputError: `mean` or `std` has neither one value nor one per channel.
        """
        mean, std = (jnp.array(values, images.dtype) for values in (self.mean, self.std))
        for key, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, images.shape[-1]):
                raise InputError(
                    f"{key} has {len(values)} values, but the images have {images.shape[-1]} channels; allowed: one "
                    "value, or one per channel."
                )
        images = (self.scale * images - mean[None, None, None]) / std[None, None, None]
        if self.channel_order == "bgr":
            images = images[..., ::-1]
        return images if self.layout == "nhwc" else images.transpose(0, 3, 1, 2)


class Preprocessed(nnx.Module):
    """The function logits = model(preprocess(images))[:, columns].

    Args:
        model: preprocessed images → logits.
        preprocess: applied first.
        columns: indices of the logits to keep; None for all.
    """

    def __init__(
        self, model: Callable[[Any], Any], preprocess: Preprocess, columns: tuple[int, ...] | None = None
    ) -> None:
        self.model = model
        self.preprocess = nnx.static(preprocess)
        self.columns = nnx.static(columns)

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n k"]:
        """Return the logits of images on the scale 0..1."""
        return self.select(self.model(self.preprocess(images)))

    def select(self, logits: Float[Array, "n K"]) -> Float[Array, "n k"]:
        """Return the columns to keep."""
        return logits if self.columns is None else logits[:, jnp.array(self.columns)]


class PreprocessedSplit(Preprocessed):
    """A `Preprocessed` model with the methods `features`, `embed` and `classify` of its inner model."""

    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Return the inner model's feature map of images on the scale 0..1."""
        return self.model.features(self.preprocess(images))  # pyright: ignore[reportFunctionMemberAccess]

    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        """Return the penultimate features."""
        return self.model.embed(features)  # pyright: ignore[reportFunctionMemberAccess]

    def classify(self, embedding: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """Return the logits of penultimate features."""
        return self.select(self.model.classify(embedding))  # pyright: ignore[reportFunctionMemberAccess]


def with_preprocessing(
    model: Callable[[Any], Any], preprocess: Preprocess, columns: tuple[int, ...] | None = None
) -> Callable[[Any], Any]:
    """Return the function images on the scale 0..1 → logits, see `Preprocessed`; `model` if it needs no change."""
    if preprocess.model_copy(update={"size": None}) == Preprocess() and columns is None:
        return model
    split = all(hasattr(model, name) for name in ("features", "embed", "classify"))
    return (PreprocessedSplit if split else Preprocessed)(model, preprocess, columns)
