"""What a model family is: validated options, and a trunk and a head that a sweep can look into."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pydantic
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.catalog import DOWNSAMPLERS, MODELS
from cnnshift.models.stage import Stage
from cnnshift.options import Options, parse_options
from cnnshift.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class OptionHelp:
    """A key of a spec, its default and what is allowed, as text."""

    key: str
    default: str
    allowed: str


def describe_options(options: Options) -> list[OptionHelp]:
    """The keys of a family's spec, then those of the pooling layer, or the inner family, that `options` chose."""
    properties = type(options).model_json_schema()["properties"]
    fields = type(options).model_fields
    lines = [
        OptionHelp(key, str(fields[key].default), "|".join(DOWNSAMPLERS) if key == "pool" else _allowed(schema))
        for key, schema in properties.items()
        if not isinstance(getattr(options, key), Options)
    ]
    return lines + [line for _, value in options if isinstance(value, Options) for line in describe_options(value)]


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return str(schema.get("type", ""))


class PoolingOptions(Options):
    """Options of a family with downsampling: `pool` names the layer, whose own options live beside the family's."""

    pool: str = "max"
    # Serialized as what it is: two networks that differ in an option of their pool must not share a weight file.
    pool_options: pydantic.SerializeAsAny[Options] = Options()

    @classmethod
    def keys(cls, raw: Mapping[str, Any]) -> list[str]:
        """The family's, and those of the layer that `raw` names."""
        own = [key for key in cls.model_fields if key != "pool_options"]
        return [*own, *cls._layer_options(raw).model_fields]

    @classmethod
    def _layer_options(cls, raw: Mapping[str, Any]) -> type[Options]:
        return DOWNSAMPLERS.load(raw.get("pool", cls.model_fields["pool"].default)).options_type

    @pydantic.model_validator(mode="before")
    @classmethod
    def _split(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "pool_options" in raw:
            return raw
        layer = cls._layer_options(raw)
        own = {key: raw[key] for key in layer.model_fields if key in raw}
        rest = {key: value for key, value in raw.items() if key not in own}
        return rest | {"pool_options": parse_options(layer, f"pool={raw.get('pool')}", own)}

    def changed(self) -> dict[str, str]:
        """As for `Options`, with the pooling layer's own options last."""
        options = {key: value for key, value in super().changed().items() if key != "pool_options"}
        return options | self.pool_options.changed()


ReadoutKind = Literal["global", "linear", "any"]
"""`global`: not at all; `linear`: `classify` is `classifier`, a linear layer on the flattened map; `any`: unknown."""


class Classifier(nnx.Module):
    """A zoo model: logits = classify(embed(features(images))).

    Class attributes:
        options_type: the family's options.
        version: number of the architecture's code; bump it when the same options and seed compute something else.
        learning_rate: peak of the schedule, the only part of the recipe that a family may choose.
    """

    options_type: ClassVar[type[Options]]
    version: ClassVar[int]
    learning_rate: ClassVar[float] = 1e-2

    @abstractmethod
    def __init__(self, options: Any, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs) -> None: ...

    @abstractmethod
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The trunk: a map that still has positions."""

    @abstractmethod
    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        """The penultimate features: what the last linear layer sees."""

    @abstractmethod
    def classify(self, embedding: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """The last linear layer."""

    @classmethod
    def rate(cls, options: Any) -> float:
        """The learning rate with these options."""
        return cls.learning_rate

    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        """The trunk as stages, one after the other, on images of that size (H, W) that wrap around.

        None where the structure does not promise that it is equivariant to circular shifts by multiples of S, the
        product of the stages' strides: features(T_{S q} x) = T_q features(x).
        """
        return None

    @classmethod
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        """What about these options breaks translation, and the options that would break less: cause → keys and values.

        Whether they break nothing is for the measurement to say: the size of the images is not known here.

        Causes are named in the field's terms: stride, padding, head, activation, position embedding.
        """
        return {}

    @property
    def total_stride(self) -> int | None:
        """S, by what the trunk divides the resolution, whatever its borders; None where it is not convolutional.

        Of a family over an orbit of shifts, whose map has one position, the step of the orbit.
        """
        return None

    @property
    def readout_kind(self) -> ReadoutKind:
        """How the logits depend on where the features are."""
        return "any"

    def head(self, features: Float[Array, "n H W C"]) -> Float[Array, "n k"]:
        """From the trunk's features to logits."""
        return self.classify(self.embed(features))

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n k"]:
        """Logits of images on the scale 0..1."""
        return self.head(self.features(images))


def parse_model(spec: ModelSpec, *, also_allowed: Sequence[str] = ()) -> tuple[type[Classifier], Options]:
    """The family of a spec and its validated options.

    Args:
        spec: family and architecture options.
        also_allowed: keys of the whole spec that are no options of the architecture, for the message.

    Raises:
        InputError: unknown family, option or value.
    """
    family = MODELS.load(spec.name)
    return family, parse_options(family.options_type, spec.name, spec.options, also_allowed=also_allowed)


def build(spec: ModelSpec, input_shape: tuple[int, int, int], classes: int, *, seed: int) -> Classifier:
    """An untrained model of a family.

    Args:
        spec: family and architecture options.
        input_shape: (H, W, channels) of the images.
        classes: number of classes k.
        seed: of the initial weights.

    Raises:
        InputError: unknown option or value, or a network that does not fit the images.
    """
    family, options = parse_model(spec)
    return family(options, input_shape, classes, rngs=nnx.Rngs(seed))
