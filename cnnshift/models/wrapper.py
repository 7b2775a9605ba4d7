"""Families that stand around another one: its options live beside theirs, in the same spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import pydantic
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.catalog import MODELS
from cnnshift.errors import InputError
from cnnshift.models.base import Classifier, Options, parse_options


def unwrapped_families() -> list[str]:
    """The names of the families that stand around no other."""
    return [name for name in MODELS if not issubclass(MODELS.load(name), Wrapper)]


def backbone_family(name: str) -> type[Classifier]:
    """The family that another one stands around.

    Raises:
        InputError: no such family, or one that stands around another itself.
    """
    family = MODELS.load(name)
    if issubclass(family, Wrapper):
        raise InputError(
            f"backbone is '{name}', which is a wrapper itself; allowed: {', '.join(unwrapped_families())}."
        )
    return family


def _name_families(schema: dict[str, Any]) -> None:
    schema["enum"] = unwrapped_families()


class WrapperOptions(Options):
    """Options of a family around another: `around` names that one, whose own options live beside these.

    Where both have an option of the same name, the spec's is the outer family's.
    """

    renamed: ClassVar[Mapping[str, str]] = {"around": "backbone"}

    backbone: Annotated[str, pydantic.Field(json_schema_extra=_name_families)] = "cnn"
    # Serialized as what it is: two networks that differ in an option of the inner one must not share a weight file.
    backbone_options: pydantic.SerializeAsAny[Options] = Options()

    @pydantic.computed_field
    @property
    def backbone_version(self) -> int:
        """Of the inner family's code: weights of another version are those of another network."""
        return backbone_family(self.backbone).version

    @classmethod
    def keys(cls, raw: Mapping[str, Any]) -> list[str]:
        """The family's, and those of the one that `raw` stands around."""
        own = cls._own()
        rest = {key: value for key, value in raw.items() if key not in own}
        inner = backbone_family(raw.get("backbone", cls.model_fields["backbone"].default)).options_type.keys(rest)
        return [*own, *(key for key in inner if key not in own)]

    @classmethod
    def _own(cls) -> list[str]:
        return [key for key in cls.model_fields if key != "backbone_options"]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _split(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "backbone_options" in raw:
            return raw
        backbone = raw.get("backbone", cls.model_fields["backbone"].default)
        own = {key: value for key, value in raw.items() if key in cls._own()}
        rest = {key: value for key, value in raw.items() if key not in own}
        return own | {
            "backbone_options": parse_options(backbone_family(backbone).options_type, f"backbone={backbone}", rest)
        }

    def changed(self) -> dict[str, str]:
        """As for `Options`, with the inner family's own options last."""
        own = {key: value for key, value in super().changed().items() if key != "backbone_options"}
        return own | self.backbone_options.changed()


class Wrapper(Classifier):
    """Something before or around the network `inner`, whose last layer gives the logits.

    The inner network starts with the weights that its family alone would have.
    """

    options_type = WrapperOptions

    def __init__(
        self, options: WrapperOptions, input_shape: tuple[int, int, int], classes: int, *, rngs: nnx.Rngs
    ) -> None:
        self.backbone: Any = backbone_family(options.backbone)(
            options.backbone_options, input_shape, classes, rngs=rngs
        )

    @classmethod
    def rate(cls, options: WrapperOptions) -> float:
        """The inner family's."""
        return backbone_family(options.backbone).rate(options.backbone_options)

    @classmethod
    def interventions(cls, options: Any) -> Mapping[str, Mapping[str, str]]:
        """The inner family's."""
        return backbone_family(options.backbone).interventions(options.backbone_options)

    def classify(self, embedding: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """The inner network's last layer."""
        return self.backbone.classify(embedding)
