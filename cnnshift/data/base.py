"""The interface of a data set and its creation from a spec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast

import pydantic
from typing_extensions import override

from cnnshift.catalog import DATASETS
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.options import Options, parse_options
from cnnshift.spec import DatasetSpec


class DatasetOptions(Options):
    """Options of a data set. Every data set has `canvas`, which is the last option of its canonical spec.

    A field with `exclude=True` states where the data are stored and is not part of the canonical spec.

    Attributes:
        canvas: side in pixels of a square background on which every image is centred.
    """

    canvas: Annotated[int, pydantic.Field(ge=1)] | None = None

    @classmethod
    @override
    def keys(cls, raw: Mapping[str, Any]) -> list[str]:
        return [*(key for key in cls.model_fields if key != "canvas"), "canvas"]

    @override
    def changed(self) -> dict[str, str]:
        changed, fields = super().changed(), type(self).model_fields
        return {key: changed[key] for key in self.keys({}) if key in changed and not fields[key].exclude}


AnyDatasetOptions = TypeVar("AnyDatasetOptions", bound=DatasetOptions)


class Dataset(ABC, Generic[AnyDatasetOptions]):
    """A named collection of splits, constructed as `cls(options)`; None stands for the default options.

    If the catalogue declares an argument for the name, the data set is constructed as `cls(argument, options)`, and its
    attribute `argument` is the argument in the canonical spec, without folders.

    Class attributes:
        name: name in a spec.
        version: changes whenever the same options give other pixels or labels.
        licence: licence of the images.
        citation: source of the data.
        options_type: class of the options.

    Attributes:
        splits: names of the splits. Without `train`, models cannot be trained on it.
        options: the options.
        argument: see above.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    options_type: ClassVar[type[DatasetOptions]] = DatasetOptions
    splits: tuple[str, ...] = ("train", "test")
    argument: str = ""

    def __init__(self, options: AnyDatasetOptions | None = None) -> None:
        self.options = cast(AnyDatasetOptions, self.options_type()) if options is None else options

    @property
    def spec(self) -> DatasetSpec:
        """Canonical spec."""
        return DatasetSpec(self.name, self.options.changed(), self.argument)

    @property
    def has_train(self) -> bool:
        """Whether there is a split to train on."""
        return "train" in self.splits

    def load(self, split: str, *, limit: int | None = None) -> Split:
        """Return the images of a split, or the seeded subset `Split.take(limit)`, on the canvas if one is set.

        Some data sets are prepared on first use and cached.

        Raises:
            InputError: there is no such split, a required package is missing, or an image or label is invalid.
            MeasurementError: the data could not be prepared, or the cache cannot be written.
        """
        if split not in self.splits:
            raise InputError(f"The data set '{self.name}' has no split '{split}'; allowed: {', '.join(self.splits)}.")
        loaded = self._load(split, limit)
        loaded = loaded if limit is None else loaded.take(limit)
        return loaded if self.options.canvas is None else loaded.on_canvas(self.options.canvas)

    @abstractmethod
    def _load(self, split: str, limit: int | None) -> Split:
        """Load a split: all images, or only those with the `subset_indices` of the limit, to save time and memory."""


def create_dataset(spec: DatasetSpec) -> Dataset[Any]:
    """Create the data set of a spec. It loads images only when `load` is called.

    Raises:
        InputError: the name, an option or a value is unknown, or a required argument is missing.
    """
    entry, kind = DATASETS[spec.name], DATASETS.load(spec.name)
    options = parse_options(kind.options_type, spec.name, spec.options)
    if entry.argument and not spec.argument:
        raise InputError(f"The data set '{spec}' has no argument; allowed: {spec.name}:{entry.argument}.")
    return kind(spec.argument, options) if entry.argument else kind(options)
