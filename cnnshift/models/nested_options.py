"""Options with a field that selects a pooling layer or a family, whose options are set in the same spec."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import pydantic
from typing_extensions import override

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.options import Options, parse_options


class NestedOptions(Options):
    """Options with the options of a selected layer or family.

    A key that both define belongs to the outer options.

    Class attributes:
        selector: the field that names the layer or family.
        nested: the field that holds its options.
    """

    selector: ClassVar[str]
    nested: ClassVar[str]

    @classmethod
    @abstractmethod
    def nested_type(cls, name: str) -> type[Options]:
        """Return the options class of the selected layer or family.

        Raises:
            InputError: no such name.
        """

    @classmethod
    def _selected(cls, raw: Mapping[str, Any]) -> str:
        return raw.get(cls.selector, cls.model_fields[cls.selector].default)

    @classmethod
    def _partition(cls, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        outer = {key: value for key, value in raw.items() if key in cls.model_fields}
        return outer, {key: value for key, value in raw.items() if key not in outer}

    @classmethod
    @override
    def keys(cls, raw: Mapping[str, Any]) -> list[str]:
        outer = [key for key in cls.model_fields if key != cls.nested]
        _, rest = cls._partition(raw)
        return [*outer, *(key for key in cls.nested_type(cls._selected(raw)).keys(rest) if key not in outer)]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _parse_nested(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or cls.nested in raw:
            return raw
        outer, rest = cls._partition(raw)
        name = cls._selected(raw)
        return outer | {cls.nested: parse_options(cls.nested_type(name), f"{cls.selector}={name}", rest)}

    @override
    def changed(self) -> dict[str, str]:
        outer = {key: value for key, value in super().changed().items() if key != self.nested}
        return outer | getattr(self, self.nested).changed()


class PoolingOptions(NestedOptions):
    """Options of a family with downsampling: `pool` names the layer of `DOWNSAMPLERS`."""

    selector = "pool"
    nested = "pool_options"

    pool: str = "max"
    # Serialized by the actual class: networks with different options of the pool must not share a file of weights.
    pool_options: pydantic.SerializeAsAny[Options] = Options()

    @classmethod
    @override
    def nested_type(cls, name: str) -> type[Options]:
        return DOWNSAMPLERS.load(name).options_type
