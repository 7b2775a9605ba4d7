"""What a data set is: named splits of labelled images, whose content has a fingerprint."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import pydantic
from jaxtyping import Float, Int, UInt8

from cnnshift.catalog import DATASETS
from cnnshift.errors import InputError
from cnnshift.options import Options, parse_options
from cnnshift.spec import DatasetSpec

SplitName = Literal["train", "test"]

MAX_BYTES = 2**30
"""Of the images of a split in memory."""


@dataclass(frozen=True, slots=True)
class Split:
    """Labelled images of one split.

    Attributes:
        images: the source images: what a model sees with `context` pixels on each side; bytes, or floats from 0 to 1.
        labels: class of every image.
        classes: names of the classes.
        background: value of an empty pixel, one per channel, on the scale 0..1; rounded to what a byte can hold where
            the images are bytes.
        context: pixels around the window that a model sees, on each side.

    Raises:
        InputError: the parts do not fit each other.
    """

    images: UInt8[np.ndarray, "n Hs Ws c"] | Float[np.ndarray, "n Hs Ws c"]
    labels: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    background: tuple[float, ...]
    context: int = 0

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or not images.size:
            raise InputError(
                f"images have the shape {images.shape}; allowed: (n, height, width, channels), none of them 0."
            )
        if np.issubdtype(images.dtype, np.floating) and not np.isfinite(images).all():
            raise InputError("images hold values that are not finite; allowed: uint8, or floats from 0 to 1.")
        if images.dtype != np.uint8 and not (np.issubdtype(images.dtype, np.floating) and _is_unit(images)):
            raise InputError(f"images are {images.dtype} outside 0..1; allowed: uint8, or floats from 0 to 1.")
        if labels.shape != (len(images),) or labels.min() < 0 or labels.max() >= len(self.classes):
            raise InputError(
                f"labels have the shape {labels.shape} and go from {labels.min()} to {labels.max()}; "
                f"allowed: one per image ({len(images)}), from 0 to {len(self.classes) - 1}."
            )
        if len(self.background) != images.shape[-1] or not _is_unit(np.array(self.background)):
            raise InputError(f"background is {self.background}; allowed: {images.shape[-1]} values from 0 to 1.")
        if not 0 <= 2 * self.context < min(images.shape[1:3]):
            raise InputError(f"context is {self.context}; allowed: less than half of {min(images.shape[1:3])}.")
        if images.dtype == np.uint8:
            object.__setattr__(self, "background", tuple(round(255 * value) / 255 for value in self.background))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) that a model sees."""
        height, width = self.images.shape[1:3]
        return height - 2 * self.context, width - 2 * self.context

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return self.images.shape[-1]

    @property
    def windows(self) -> UInt8[np.ndarray, "n h w c"] | Float[np.ndarray, "n h w c"]:
        """What a model sees at no shift."""
        (height, width), margin = self.size, self.context
        return self.images[:, margin : margin + height, margin : margin + width]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that a measurement depends on: pixels, labels, classes, background, context."""
        digest = hashlib.sha256()
        digest.update(repr((self.images.shape, self.classes, self.background, self.context)).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i4").data)
        return digest.hexdigest()

    def take(self, limit: int, *, seed: int = 0) -> Split:
        """A seeded random subset of `limit` images, in their order; the whole split if it is smaller.

        Raises:
            InputError: the limit is below 1.
        """
        chosen = seeded_subset(len(self), limit, seed=seed)
        if len(chosen) == len(self):
            return self
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def with_window(self, size: tuple[int, int]) -> Split:
        """The same source images, seen through a centred window of another size; the rest of them is context.

        Args:
            size: (H, W) that a model is to see.

        Raises:
            InputError: the source images are smaller, or not larger by the same even number of pixels on both axes.
        """
        (height, width), (rows, columns) = size, self.images.shape[1:3]
        if min(size) < 1 or height > rows or width > columns:
            raise InputError(
                f"The window is {height}×{width}; allowed: from 1×1 to {rows}×{columns}, the images' size."
            )
        if rows - height != columns - width or (rows - height) % 2:
            raise InputError(
                f"The window is {height}×{width}, which leaves {rows - height} rows and {columns - width} columns of "
                f"the images ({rows}×{columns}); allowed: the same even number of both."
            )
        return replace(self, context=(rows - height) // 2)

    def on_canvas(self, canvas: int) -> Split:
        """Centre every window on a background canvas, with background around it as far as its margin is wide.

        A shift within the margin then loses nothing under any protocol: circular, zero and crop agree bit by bit.

        Args:
            canvas: side of the new window in pixels.

        Raises:
            InputError: the canvas is smaller than the window, or cannot be centred.
        """
        height, width = self.size
        if canvas < max(height, width):
            raise InputError(f"canvas is {canvas}; allowed: from {max(height, width)}, the size of the images.")
        if (canvas - height) % 2 or (canvas - width) % 2:
            raise InputError(
                f"canvas is {canvas}, which cannot centre images of {height}×{width}; "
                f"allowed: sizes that differ from theirs by an even number of pixels."
            )
        top, left = (canvas - height) // 2, (canvas - width) // 2
        context = min(top, left)
        side = canvas + 2 * context
        size = len(self) * side**2 * self.channels * self.images.itemsize
        if size > MAX_BYTES:
            raise InputError(
                f"canvas is {canvas}, which takes {size / 2**30:.1f} GiB for {len(self):,} images with their margin; "
                f"allowed: what takes at most {MAX_BYTES / 2**30:.0f} GiB."
            )
        empty = empty_pixel(self)
        images = np.broadcast_to(empty, (len(self), side, side, self.channels)).copy()
        images[:, context + top : context + top + height, context + left : context + left + width] = self.windows
        return replace(self, images=images, context=context)


class DataOptions(Options):
    """Options of a data set; `canvas` is one of every data set, and the last of its spec.

    A field that is excluded says where data are, not which: it is no part of the canonical spec.
    """

    canvas: Annotated[int, pydantic.Field(ge=1)] | None = None

    @classmethod
    def keys(cls, raw: Mapping[str, Any]) -> list[str]:
        """The data set's own keys, and `canvas`."""
        return [*(key for key in cls.model_fields if key != "canvas"), "canvas"]

    def changed(self) -> dict[str, str]:
        """As for `Options`, without what is excluded."""
        changed, fields = super().changed(), type(self).model_fields
        return {key: changed[key] for key in self.keys({}) if key in changed and not fields[key].exclude}


NO_OPTIONS = DataOptions()


@runtime_checkable
class Dataset(Protocol):
    """A named source of splits: a class that is called with its validated options and then asked for splits.

    Where the registry says that an argument follows the name, the class is called with the argument and the options.
    Such a data set also has an attribute `argument`: what stands for it in the canonical spec, which holds no folders.

    Class attributes tell what it is without loading it.

    Attributes:
        name: its name in a spec.
        version: bumped whenever the same options give other pixels or labels.
        licence: under which the images may be used.
        citation: where the data come from.
        options_type: its own options.
        splits: what `load` can be asked for; without `train`, only networks that are not trained can be measured.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    options_type: ClassVar[type[DataOptions]]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of its splits."""
        ...

    def load(self, split: SplitName) -> Split:
        """The images of one split; prepared on first use, read from the cache afterwards.

        Raises:
            InputError: this data set has no such split, or a package it needs is missing.
            MeasurementError: the prepared data are damaged and could not be made again.
        """
        ...


class LoadsPart(ABC):
    """A data set that need not decode all images to give some."""

    def load(self, split: str) -> Split:
        """All images of a split; see `load_part` for the errors."""
        return self.load_part(split, None)

    @abstractmethod
    def load_part(self, split: str, limit: int | None) -> Split:
        """The same as `load(split).take(limit)`, without the others in memory; all for None.

        Raises:
            InputError: no such split, or something in it that is no labelled image.
        """


@dataclass(frozen=True)
class LoadedDataset:
    """A data set behind a spec, with what applies to every data set."""

    spec: DatasetSpec
    source: Dataset
    canvas: int | None

    @property
    def trains(self) -> bool:
        """Whether there are images to train on."""
        return "train" in self.source.splits

    def load(self, split: SplitName, *, limit: int | None = None) -> Split:
        """The split's images, or a seeded subset, on the canvas if there is one."""
        if limit is None:
            loaded = self.source.load(split)
        elif isinstance(self.source, LoadsPart):
            loaded = self.source.load_part(split, limit)
        else:
            loaded = self.source.load(split).take(limit)
        return loaded if self.canvas is None else loaded.on_canvas(self.canvas)


def seeded_subset(count: int, limit: int, *, seed: int = 0) -> Int[np.ndarray, " m"]:
    """The places of a seeded random subset of `limit` of `count` images, in order; of all if there are fewer.

    Raises:
        InputError: the limit is below 1.
    """
    if limit < 1:
        raise InputError(f"limit is {limit}; allowed: whole numbers of images from 1.")
    if limit >= count:
        return np.arange(count)
    # RandomState, because its stream is frozen for ever (NEP 19): a subset must outlive numpy's versions.
    return np.sort(np.random.RandomState(seed).permutation(count)[:limit])


def to_unit(images: Any) -> Any:
    """Pixels on the scale 0..1, in 32 bits: bytes are divided by 255. Takes numpy and jax arrays."""
    return images / np.float32(255) if images.dtype == np.uint8 else images.astype(np.float32)


def empty_pixel(split: Split) -> np.ndarray:
    """The background value, one per channel, as the images store it."""
    empty = np.array(split.background)
    return (
        np.round(255 * empty).astype(np.uint8) if split.images.dtype == np.uint8 else empty.astype(split.images.dtype)
    )


def _is_unit(values: np.ndarray) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)


def open_dataset(spec: DatasetSpec) -> LoadedDataset:
    """Find the data set of a spec; `canvas=PX` is an option that every data set has.

    Raises:
        InputError: unknown name, option or value, or nothing where an argument has to follow the name.
    """
    entry, kind = DATASETS[spec.name], DATASETS.load(spec.name)
    options = parse_options(kind.options_type, spec.name, spec.options)
    if entry.argument and not spec.argument:
        raise InputError(f"The data set '{spec}' does not say what to read; write {spec.name}:{entry.argument}.")
    source = kind(spec.argument, options) if entry.argument else kind(options)
    # Canonical, as for models: what is the default is not said, and the order is the declared one.
    argument = source.argument if entry.argument else ""
    return LoadedDataset(DatasetSpec(spec.name, options.changed(), argument), source, options.canvas)


def check_split(name: str, split: str, allowed: tuple[str, ...] = ("train", "test")) -> None:
    """Refuse a split that a data set does not have.

    Raises:
        InputError: the split is not one of `allowed`.
    """
    if split not in allowed:
        raise InputError(f"The data set '{name}' has no split '{split}'; allowed: {', '.join(allowed)}.")
