"""The interface of model families, and functions that parse, describe and build them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.catalog import DOWNSAMPLERS, MODELS
from cnnshift.models.stage import Stage
from cnnshift.options import Options, parse_options
from cnnshift.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class OptionHelp:
    """A key of a spec, its default and the allowed values, as text."""

    key: str
    default: str
    allowed: str


def describe_options(options: Options) -> list[OptionHelp]:
    """Describe the keys of a family's spec, then those of the selected pooling layer or backbone."""
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


ReadoutKind = Literal["global", "linear", "any"]
"""How logits depend on the positions of features. `global`: not at all. `linear`: `classify` is the linear layer
`classifier` on the flattened feature map. `any`: unknown."""


class Classifier(nnx.Module):
    """A classifier that cnnshift trains: logits = classify(embed(features(images))).

    Class attributes:
        options_type: the family's options.
        version: increase it when the same options and seed no longer give the same network.
        learning_rate: peak of the learning-rate schedule; the rest of the recipe is the same for all families.

    Attributes:
        classifier: the last linear layer.
        total_stride: factor S by which `features` divides the resolution, whatever the padding; None if the family is
            not convolutional. For pooling over a group of shifts it is the step of the group.
        readout_kind: how the logits depend on the positions of features.
    """

    options_type: ClassVar[type[Options]]
    version: ClassVar[int]
    learning_rate: ClassVar[float] = 1e-2
    classifier: Any
    total_stride: int | None = None
    readout_kind: ReadoutKind = "any"

    @abstractmethod
    def __init__(self, options: Any, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs) -> None: ...

    @abstractmethod
    def features(self, images: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Return the feature map."""

    @abstractmethod
    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n e"]:
        """Return the penultimate features, the input of the last linear layer."""

    def classify(self, embedding: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """Apply the last linear layer."""
        return self.classifier(embedding)

    @classmethod
    def learning_rate_for(cls, options: Any) -> float:
        """Return the peak learning rate with these options."""
        return cls.learning_rate

    def circular_stages(self, size: tuple[int, int]) -> Sequence[Stage] | None:
        """Return `features` as consecutive stages for images of size (H, W) with circular borders.

        With S the product of the stages' strides, the stages guarantee features(T_{S q} x) = T_q features(x) for
        circular shifts. None where the structure does not guarantee it.
        """
        return None

    @classmethod
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        """Return, per cause of shift sensitivity that these options have, the options that reduce it.

        The causes are stride, padding, head, activation and position embedding. The size of the images is unknown here,
        so that only a measurement shows what an intervention achieves.
        """
        return {}

    def head(self, features: Float[Array, "n H W C"]) -> Float[Array, "n k"]:
        """Return the logits of feature maps."""
        return self.classify(self.embed(features))

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n k"]:
        """Return the logits of images on the scale 0..1."""
        return self.head(self.features(images))


def parse_model(spec: ModelSpec, *, also_allowed: Sequence[str] = ()) -> tuple[type[Classifier], Options]:
    """Return the family of a spec and its validated options.

    Args:
        spec: family and architecture options.
        also_allowed: further keys of a full spec, listed as allowed in error messages.

    Raises:
        InputError: unknown family, option or value.
    """
    family = MODELS.load(spec.name)
    return family, parse_options(family.options_type, spec.name, spec.options, also_allowed=also_allowed)


def build(spec: ModelSpec, input_shape: tuple[int, int, int], classes: int, *, seed: int) -> Classifier:
    """Build an untrained model.

    Args:
        spec: family and architecture options.
        input_shape: (H, W, channels) of the images.
        classes: number of classes k.
        seed: seed of the initial weights.

    Raises:
        InputError: unknown option or value, or the network does not fit the images.
    """
    family, options = parse_model(spec)
    return family(options, input_shape, classes, rngs=nnx.Rngs(seed))
