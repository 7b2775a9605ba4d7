"""The interface of a data set and its creation from a spec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

import pydantic

from cnnshift.catalog import DATASETS
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.options import Options, parse_options
from cnnshift.spec import DatasetSpec

SplitName = Literal["train", "test"]


class DatasetOptions(Options):
    """Options of a data set. Every data set has `canvas`, which is the last option of its canonical spec.

    A field with `exclude=True` states where the data are stored and is not part of the canonical spec.
    """

    canvas: Annotated[int, pydantic.Field(ge=1)] | None = None

    @classmethod
    def keys(cls, raw: Mapping[str, Any]) -> list[str]:
        """Return the data set's own keys, then `canvas`."""
        return [*(key for key in cls.model_fields if key != "canvas"), "canvas"]

    def changed(self) -> dict[str, str]:
        """Return the options that differ from their defaults, without excluded fields."""
        changed, fields = super().changed(), type(self).model_fields
        return {key: changed[key] for key in self.keys({}) if key in changed and not fields[key].exclude}


DEFAULT_OPTIONS = DatasetOptions()


@runtime_checkable
class Dataset(Protocol):
    """A named collection of splits, constructed as `cls(options)`.

    If the catalogue declares an argument for the name, the class is constructed as `cls(argument, options)`, and its
    attribute `argument` replaces the argument in the canonical spec, without folders.

    Attributes:
        name: name in a spec.
        version: changes whenever the same options give other pixels or labels.
        licence: licence of the images.
        citation: source of the data.
        options_type: class of the options.
        splits: names of the splits. Without `train`, models cannot be trained on it.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    options_type: ClassVar[type[DatasetOptions]]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        ...

    def load(self, split: SplitName) -> Split:
        """Return the images of a split, which may be prepared on first use and cached.

        Raises:
            InputError: there is no such split, or a required package is missing.
            MeasurementError: the prepared data are damaged and could not be restored.
        """
        ...


class SubsetDataset(ABC):
    """A data set that can load a subset without decoding all images."""

    def load(self, split: str) -> Split:
        """Return all images of a split; for errors see `load_subset`."""
        return self.load_subset(split, None)

    @abstractmethod
    def load_subset(self, split: str, limit: int | None) -> Split:
        """Return `load(split).take(limit)` without holding the other images in memory; None loads all.

        Raises:
            InputError: there is no such split, or an image or label is invalid.
        """


@dataclass(frozen=True)
class ConfiguredDataset:
    """A data set with the options of its spec.

    Attributes:
        spec: canonical spec.
        dataset: the data set.
        canvas: side of the canvas in pixels; None leaves the images as loaded.
    """

    spec: DatasetSpec
    dataset: Dataset
    canvas: int | None

    @property
    def version(self) -> str:
        """Version of the data set."""
        return self.dataset.version

    @property
    def has_train(self) -> bool:
        """Whether there is a split to train on."""
        return "train" in self.dataset.splits

    def load(self, split: SplitName, *, limit: int | None = None) -> Split:
        """Return the images of a split, or a seeded subset of `limit`, on the canvas if one is set."""
        if limit is None:
            loaded = self.dataset.load(split)
        elif isinstance(self.dataset, SubsetDataset):
            loaded = self.dataset.load_subset(split, limit)
        else:
            loaded = self.dataset.load(split).take(limit)
        return loaded if self.canvas is None else loaded.on_canvas(self.canvas)


def create_dataset(spec: DatasetSpec) -> ConfiguredDataset:
    """Create the data set of a spec. It loads images only when `load` is called.

    Raises:
        InputError: the name, an option or a value is unknown, or a required argument is missing.
    """
    entry, kind = DATASETS[spec.name], DATASETS.load(spec.name)
    options = parse_options(kind.options_type, spec.name, spec.options)
    if entry.argument and not spec.argument:
        raise InputError(f"The data set '{spec}' has no argument; allowed: {spec.name}:{entry.argument}.")
    dataset = kind(spec.argument, options) if entry.argument else kind(options)
    argument = dataset.argument if entry.argument else ""
    return ConfiguredDataset(DatasetSpec(spec.name, options.changed(), argument), dataset, options.canvas)


def check_split(name: str, split: str, allowed: tuple[str, ...] = ("train", "test")) -> None:
    """Raise an error if a data set does not have a split.

    Raises:
        InputError: the split is not one of `allowed`.
    """
    if split not in allowed:
        raise InputError(f"The data set '{name}' has no split '{split}'; allowed: {', '.join(allowed)}.")
