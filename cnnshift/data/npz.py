"""Data set `npz:FILE`: images and labels of the user's own, as `np.savez` writes them."""

from __future__ import annotations

import contextlib
import functools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pydantic
from jaxtyping import Int, Shaped

from cnnshift.data.background import Background, resolve_background
from cnnshift.data.base import DatasetOptions, SubsetDataset, check_split
from cnnshift.data.limits import MAX_CLASSES, MAX_SIDE, check_classes, check_memory
from cnnshift.data.npz_member import Member, find_member, read_rows
from cnnshift.data.split import Split, subset_indices
from cnnshift.errors import InputError

ARRAYS = {"test": ("images", "labels"), "train": ("train_images", "train_labels")}

MAX_LABEL_BYTES = 2**26
"""Of labels, and of names of classes."""

_IMAGES = "uint8, or floats from 0 to 1, of shape [n h w c] or [n h w]"


class NpzOptions(DatasetOptions):
    """What is made of the images, see `Npz`."""

    context: Annotated[int, pydantic.Field(ge=0, le=MAX_SIDE // 4)] = 0
    background: Background = "black"


DEFAULTS = NpzOptions()


class Npz(SubsetDataset):
    """The arrays `images` and `labels` of an .npz file; `train_images` and `train_labels` to train on, if there are.

    Images are bytes [n h w c] or [n h w], or floats from 0 to 1, which are kept in 32 bits; labels are whole numbers
    from 0; `classes`, if it is there, is an array of names. Images stay in their order.

    Options:
        context: pixels on each side that belong to the images but not to what a model sees; they enter under `crop`.
        background: of the protocol `zero` and of canvases.
    """

    name: ClassVar[str] = "npz"
    version: ClassVar[str] = "1.0.0"
    licence: ClassVar[str] = "that of the images"
    citation: ClassVar[str] = "the user's own images"
    options_type: ClassVar[type[DatasetOptions]] = NpzOptions

    def __init__(self, argument: str, options: NpzOptions = DEFAULTS) -> None:
        self._path = Path(argument).expanduser()
        self.argument = self._path.name
        self._options = options
        if not self._path.is_file():
            raise InputError(f"The data set 'npz:{argument}' is no file; allowed: what np.savez writes.")
        with self._opened() as archive:
            self._images = {split: self._find_images(archive, images) for split, (images, _) in ARRAYS.items()}
        if self._images["test"] is None:
            raise InputError(f"{self._path} has no array 'images'; allowed: 'images' and 'labels', to test on.")

    @property
    def splits(self) -> tuple[str, ...]:
        """`test`, and `train` if the file has `train_images`."""
        return tuple(split for split, member in self._images.items() if member)

    def load_subset(self, split: str, limit: int | None) -> Split:
        """See `SubsetDataset`."""
        check_split(self.name, split, self.splits)
        labels, classes = self._labels[split], self._classes
        images, chosen = self._read(split, limit)
        context = self._options.context
        if 2 * context >= min(images.shape[1:3]):
            raise InputError(
                f"context is {context}, but the images of {self._path} have {images.shape[1]}×{images.shape[2]} "
                "pixels; allowed: less than half of that."
            )
        if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 1):
            raise InputError(f"{self._path}: '{ARRAYS[split][0]}' holds floats outside 0..1; allowed: {_IMAGES}.")
        background = resolve_background(self._options.background, images.shape[-1], self._some_images)
        return Split(images, labels[chosen].astype(np.int32), classes, background, context)

    def _read(self, split: str, limit: int | None) -> tuple[Shaped[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]:
        member = self._images[split]
        assert member is not None
        count, height, width, channels = _as_four(member.shape)
        taken = count if limit is None else min(limit, count)
        into = np.dtype(np.uint8 if member.dtype == np.uint8 else np.float32)
        # Fortran's order is read as a whole, as it is stored, and then once more in the other order.
        kept, itemsize = taken, into.itemsize
        if member.columns_first:
            kept, itemsize = count, max(member.dtype.itemsize, into.itemsize)
        check_memory(f"{self._path}, '{member.name}'", (kept, height, width, channels), itemsize)
        chosen = subset_indices(count, taken)
        with self._opened() as archive:
            return read_rows(archive, member, chosen, into).reshape(len(chosen), height, width, channels), chosen

    def _some_images(self, count: int) -> Shaped[np.ndarray, "n h w c"]:
        return self._read("train" if "train" in self.splits else "test", count)[0]

    def _find_images(self, archive: zipfile.ZipFile, name: str) -> Member | None:
        member = find_member(archive, name)
        if member is None:
            return None
        shape, dtype = member.shape, member.dtype
        if len(shape) not in (3, 4) or 0 in shape or not (dtype == np.uint8 or dtype.kind == "f"):
            raise InputError(f"'{name}' is {dtype} of shape {shape}; allowed: {_IMAGES}.")
        if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
            raise InputError(f"'{name}' has the shape {shape}, channels before rows; allowed: {_IMAGES}.")
        return member

    @functools.cached_property
    def _labels(self) -> dict[str, Int[np.ndarray, " _"]]:
        found = {}
        first = self._images["test"]
        assert first is not None
        for split in self.splits:
            images, (images_name, name) = self._images[split], ARRAYS[split]
            assert images is not None
            if _as_four(images.shape)[1:] != _as_four(first.shape)[1:]:
                raise InputError(
                    f"{self._path}: '{images_name}' has the shape {images.shape} and '{first.name}' {first.shape}; "
                    "allowed: images of one size."
                )
            labels = self._small_array(name)
            if labels is None or labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
                what = "missing" if labels is None else f"{labels.dtype} of shape {labels.shape}"
                raise InputError(
                    f"{self._path}: '{name}' is {what}; allowed: one whole number per image, {images.shape[0]} of them."
                )
            found[split] = labels.astype(np.int64)
        return found

    @functools.cached_property
    def _classes(self) -> tuple[str, ...]:
        low = min(int(labels.min()) for labels in self._labels.values())
        high = max(int(labels.max()) for labels in self._labels.values())
        names = self._small_array("classes")
        if names is not None and (names.dtype.kind != "U" or names.ndim != 1):
            raise InputError(
                f"{self._path}: 'classes' is {names.dtype} of shape {names.shape}; allowed: an array of names, as "
                "np.array(['cat', 'dog'])."
            )
        count = MAX_CLASSES if names is None else len(names)
        if low < 0 or high >= count:
            raise InputError(f"{self._path}: labels go from {low} to {high}; allowed: from 0 to {count - 1}.")
        return check_classes(str(self._path), [str(name) for name in (range(high + 1) if names is None else names)])

    def _small_array(self, name: str) -> np.ndarray | None:
        with self._opened() as archive:
            member = find_member(archive, name)
            if member is None:
                return None
            if len(member.shape) != 1 or member.claimed_bytes > MAX_LABEL_BYTES:
                raise InputError(
                    f"'{name}' claims {member.claimed_bytes:,} bytes in the shape {member.shape}; allowed: one axis, "
                    f"at most {MAX_LABEL_BYTES:,} bytes."
                )
            return read_rows(archive, member, np.arange(member.shape[0]), member.dtype)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except InputError as error:
            known = str(error).startswith(str(self._path))
            raise InputError(str(error) if known else f"{self._path}: {error}") from None
        except OSError as error:
            raise InputError(f"Cannot read {self._path}: {error.strerror or error}.") from None
        except Exception as error:  # damage surfaces as whatever the parser of that part raises
            raise InputError(f"{self._path} is not a file of arrays as np.savez writes them ({error}).") from None


def _as_four(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(n, height, width, channels) of images that may lack the last axis."""
    count, height, width = shape[:3]
    return count, height, width, shape[3] if len(shape) == 4 else 1
