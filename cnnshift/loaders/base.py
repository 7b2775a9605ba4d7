"""What a network that comes with its weights is: a function of prepared images, and how they are prepared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
import pydantic
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.models.base import Options

Side = Annotated[int, pydantic.Field(ge=1, le=16384, strict=True)]
Size = tuple[Side, Side]
Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


def _as_size(value: Any) -> Any:
    if isinstance(value, str):
        value = [int(side) if side.isdecimal() else side for side in value.split("x")]
    sides = value if isinstance(value, list) else [value]
    return value if value is None or isinstance(value, tuple) else sides * (2 if len(sides) == 1 else 1)


def _as_channels(value: Any) -> Any:
    if isinstance(value, str):
        return value.split("/")
    return [value] if isinstance(value, int | float) else value


def _as_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ("x" if isinstance(value[0], int) else "/").join(map(_as_text, value))
    return str(value).removesuffix(".0")


class Preprocess(Options):
    """From images [n h w c] on the scale 0..1 to what a network sees: (scale · x − mean) / std, its channels, its axes.

    As text, a size is `224` or `224x256`, and values of channels are joined by slashes: `0.485/0.456/0.406`.

    Attributes:
        size: (H, W) of the images that the network takes; None where it takes any.
        scale: 255 where the network was trained on bytes.
        mean, std: of the scaled values, one number or one per channel.
        order: of the colours: as they are, or the other way round.
        layout: order of the axes.
    """

    size: Annotated[Size | None, pydantic.BeforeValidator(_as_size)] = None
    scale: Positive = 1.0
    mean: Annotated[tuple[pydantic.FiniteFloat, ...], pydantic.BeforeValidator(_as_channels)] = (0.0,)
    std: Annotated[tuple[Positive, ...], pydantic.BeforeValidator(_as_channels)] = (1.0,)
    order: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nhwc", "nchw"] = "nhwc"

    def changed(self) -> dict[str, str]:
        """As for `Options`, written as in a spec."""
        return {key: _as_text(getattr(self, key)) for key in super().changed()}

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n _ _ _"]:
        """Prepare a batch."""
        mean, std = (jnp.array(values, images.dtype) for values in (self.mean, self.std))
        for key, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, images.shape[-1]):
                raise InputError(
                    f"{key} has {len(values)} values, but the images have {images.shape[-1]} channels; allowed: one "
                    "value, or one per channel."
                )
        images = (self.scale * images - mean[None, None, None]) / std[None, None, None]
        if self.order == "bgr":
            images = images[..., ::-1]
        return images if self.layout == "nhwc" else images.transpose(0, 3, 1, 2)


AS_THEY_ARE = Preprocess()
"""Images on the scale 0..1, channels last."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its weights.

    Attributes:
        model: prepared images → logits [n k]: a Flax NNX module, or a traceable function. One that leaves the program
            is what `host_callback` returned, and not a function around it, which would be taken for a compiled one.
        preprocess: how images are prepared.
        classes: names of its classes, in the order of the logits; None where they are those of the data.
        digest: SHA-256 of what defines it, where its weights cannot be seen.
        code: SHA-256 of the code that made it, where that is the user's and can change while the weights do not.
        parameters: number of trained values, where they cannot be seen; None where it is not known either.
        options: names of the options of what made it.
    """

    model: Callable[[Any], Any]
    preprocess: Preprocess = AS_THEY_ARE
    classes: tuple[str, ...] | None = None
    digest: str | None = None
    code: str | None = None
    parameters: int | None = None
    options: tuple[str, ...] = ()


Open = Callable[[str, Mapping[str, str], Mapping[str, Any]], Network]
"""A source: the argument of a spec, the source's own options, what is said of the preparation → the network.

What is said of the preparation replaces the network's own afterwards: a source needs it only where it cannot tell
otherwise. Raises InputError where there is no such network, or no such option.
"""


PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
"""Endings of files that torch.save and pickle write."""


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
    if path.suffix in PICKLES:
        raise InputError(
            f"'{source}' names '{argument}', a pickle, which is not read, because reading executes it; write the "
            "network with torch.export.save(torch.export.export(network.eval(), (images,)), 'network.pt2')."
        )
    if not argument or path.suffix not in suffixes:
        raise InputError(
            f"'{source}' names '{argument}'; allowed: the path of a file that ends in {' or '.join(suffixes)}."
        )
    if not path.is_file():
        raise InputError(f"'{source}' names '{argument}', which is no file.")
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(code: str, arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """SHA-256 of what made a network and of its weights: names, types, shapes and numbers."""
    digest = hashlib.sha256(code.encode())
    for name, array in arrays:
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def first_line(problem: BaseException) -> str:
    """What an exception says, as part of a sentence."""
    return f"{type(problem).__name__}: {problem}".partition("\n")[0].rstrip(". ")
