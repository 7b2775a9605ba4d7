"""Families that wrap a network of another family, the backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import pydantic
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.catalog import MODELS
from cnnshift.errors import InputError
from cnnshift.models.base import Classifier
from cnnshift.models.nested_options import NestedOptions
from cnnshift.models.stage import Shape
from cnnshift.options import Options


def backbone_names() -> list[str]:
    """Return the families that a wrapper accepts: all that are not wrappers themselves."""
    return [name for name in MODELS if not issubclass(MODELS.load(name), Wrapper)]


def backbone_family(name: str) -> type[Classifier]:
    """Return the family of a backbone.

    Raises:
        InputError: no such family, or it is a wrapper itself.
    """
    family = MODELS.load(name)
    if issubclass(family, Wrapper):
        raise InputError(f"backbone is '{name}', which is a wrapper itself; allowed: {', '.join(backbone_names())}.")
    return family


def _list_families(schema: dict[str, Any]) -> None:
    schema["enum"] = backbone_names()


class WrapperOptions(NestedOptions):
    """Options of a wrapper: `backbone` names the wrapped family."""

    renamed: ClassVar[Mapping[str, str]] = {"around": "backbone"}
    selector = "backbone"
    nested = "backbone_options"

    backbone: Annotated[str, pydantic.Field(json_schema_extra=_list_families)] = "cnn"
    # Serialized by the actual class: networks with different backbones must not share a file of weights.
    backbone_options: pydantic.SerializeAsAny[Options] = Options()

    @pydantic.computed_field
    @property
    def backbone_version(self) -> int:
        """Version of the backbone's family, a part of the key of cached weights."""
        return backbone_family(self.backbone).version

    @classmethod
    @override
    def nested_type(cls, name: str) -> type[Options]:
        return backbone_family(name).options_type


class Wrapper(Classifier):
    """A function before or around the network `backbone`, whose last layer returns the logits.

    The backbone has the initial weights of its family with the same seed.
    """

    options_type = WrapperOptions

    def __init__(self, options: WrapperOptions, input_shape: Shape, classes: int, *, rngs: nnx.Rngs) -> None:
        family = backbone_family(options.backbone)
        self.backbone: Any = family(options.backbone_options, input_shape, classes, rngs=rngs)

    @classmethod
    @override
    def learning_rate_for(cls, options: WrapperOptions) -> float:
        return backbone_family(options.backbone).learning_rate_for(options.backbone_options)

    @classmethod
    @override
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        return backbone_family(options.backbone).interventions(options.backbone_options)

    @override
    def classify(self, embedding: Float[Array, "n e"]) -> Float[Array, "n k"]:
        return self.backbone.classify(embedding)
