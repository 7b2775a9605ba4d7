"""What a network that comes with its weights is: a function of prepared images, and how they are prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from jaxtyping import Array, Float

from cnnshift.errors import InputError

Channels = tuple[pydantic.FiniteFloat, ...]
Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class Preprocess(pydantic.BaseModel):
    """From images [n h w c] on the scale 0..1 to what a network sees: (scale · x − mean) / std, its channels, its axes.

    Attributes:
        size: (H, W) of the images that the network takes; None where it takes any.
        scale: 255 where the network was trained on bytes.
        mean, std: of the scaled values, one number or one per channel.
        channels: order of the colours: as they are, or the other way round.
        layout: order of the axes.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    size: tuple[Annotated[int, pydantic.Field(ge=1)], Annotated[int, pydantic.Field(ge=1)]] | None = None
    scale: Positive = 1.0
    mean: Channels = (0.0,)
    std: tuple[Positive, ...] = (1.0,)
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nhwc", "nchw"] = "nhwc"

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n _ _ _"]:
        """Prepare a batch."""
        import jax.numpy as jnp

        mean, std = (jnp.array(values, images.dtype) for values in (self.mean, self.std))
        images = (self.scale * images - mean[None, None, None]) / std[None, None, None]
        if self.channels == "bgr":
            images = images[..., ::-1]
        return images if self.layout == "nhwc" else images.transpose(0, 3, 1, 2)


AS_THEY_ARE = Preprocess()


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its weights.

    Attributes:
        model: prepared images → logits [n k]: a Flax NNX module, or a traceable function.
        preprocess: how images are prepared.
        classes: names of its classes, in the order of the logits; None where they are those of the data.
        digest: SHA-256 of what defines it, where its weights cannot be seen.
        called_back: whether `model` leaves the compiled program for another runtime, which has threads of its own.
    """

    model: Callable[[Any], Any]
    preprocess: Preprocess = AS_THEY_ARE
    classes: tuple[str, ...] | None = None
    digest: str | None = None
    called_back: bool = False


Open = Callable[[str, Mapping[str, str]], Network]
"""A source: the argument of a spec and the source's own options → the network. Preparation has been taken out.

Raises InputError where there is no such network, or no such option.
"""


def no_options(name: str, options: Mapping[str, str]) -> None:
    """Refuse options, for a source that has none of its own."""
    if options:
        known = ", ".join([*Preprocess.model_fields, "classes"])
        raise InputError(f"'{name}' has no option '{next(iter(options))}'; allowed: {known}.")


def existing_file(source: str, argument: str, *, suffixes: tuple[str, ...]) -> Path:
    """The file that a spec names.

    Raises:
        InputError: nothing is named, it is no file, or it has another suffix.
    """
    path = Path(argument)
    if not argument or path.suffix not in suffixes:
        raise InputError(
            f"'{source}' names '{argument}'; allowed: the path of a file that ends in {' or '.join(suffixes)}."
        )
    if not path.is_file():
        raise InputError(f"'{source}' names '{argument}', which is no file.")
    return path
