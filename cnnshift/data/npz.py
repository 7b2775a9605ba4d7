"""Data set `npz:FILE`: arrays of images and labels, as `np.savez` writes them."""

from __future__ import annotations

import contextlib
import functools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic
from jaxtyping import Int, Shaped

from cnnshift.data.background import Background, resolve_background
from cnnshift.data.base import Dataset, DatasetOptions
from cnnshift.data.limits import MAX_CLASSES, MAX_SIDE, check_classes, check_memory
from cnnshift.data.npz_reader import ArrayHeader, read_header, read_rows
from cnnshift.data.split import Split, subset_indices
from cnnshift.errors import InputError

ARRAYS = {"test": ("images", "labels"), "train": ("train_images", "train_labels")}

MAX_LABEL_BYTES = 2**26
"""Of the labels, and of the class names."""

_IMAGES = "uint8, or floats from 0 to 1, of shape [n h w c] or [n h w]"


class NpzOptions(DatasetOptions):
    """Options of `Npz`."""

    context: Annotated[int, pydantic.Field(ge=0, le=MAX_SIDE // 4)] = 0
    background: Background = "black"


class Npz(Dataset[NpzOptions]):
    """The arrays `images` and `labels` of an .npz file, and optionally `train_images`, `train_labels` and `classes`.

    - Images: [n h w c] or [n h w]; uint8, or floats from 0 to 1, which are converted to float32. Their order is kept.
    - Labels: integers from 0. Classes: an array of names, or by default the numbers 0, 1, ….
    - Splits: `test` (`images`), and `train` if the file has `train_images`.

    Options:
        context: pixels of the images around the window on each side, which enter under the protocol `crop`.
        background: value of empty pixels, for the protocol `zero` and canvases.
    """

    name = "npz"
    version = "1.0.0"
    licence = "that of the images"
    citation = "the user's own images"
    options_type = NpzOptions

    def __init__(self, argument: str, options: NpzOptions | None = None) -> None:
        super().__init__(options)
        self._path = Path(argument).expanduser()
        self.argument = self._path.name
        if not self._path.is_file():
            raise InputError(f"npz:{argument}: not a file; allowed: a file written by np.savez.")
        with self._open() as archive:
            headers = {split: self._read_images_header(archive, images) for split, (images, _) in ARRAYS.items()}
        self._headers = {split: header for split, header in headers.items() if header is not None}
        if "test" not in self._headers:
            raise InputError(f"{self._path} has no array 'images'; the test images are 'images' and 'labels'.")
        self.splits = tuple(self._headers)

    def _load(self, split: str, limit: int | None) -> Split:
        labels, classes = self._labels[split], self._classes
        images, indices = self._read_images(split, limit)
        if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 1):
            raise InputError(f"{self._path}: '{ARRAYS[split][0]}' has floats outside 0..1; allowed: {_IMAGES}.")
        background = resolve_background(self.options.background, images.shape[-1], self._sample_images)
        return Split(images, labels[indices].astype(np.int32), classes, background, self.options.context)

    def _read_images(
        self, split: str, limit: int | None
    ) -> tuple[Shaped[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]:
        header = self._headers[split]
        count, height, width, channels = _with_channels(header.shape)
        size = count if limit is None else min(limit, count)
        dtype = np.dtype(np.uint8 if header.dtype == np.uint8 else np.float32)
        rows, itemsize = size, dtype.itemsize
        if header.fortran_order:
            # The stored array is read as a whole before its rows are copied.
            rows, itemsize = count, max(header.dtype.itemsize, dtype.itemsize)
        check_memory(f"{self._path}, '{header.name}'", (rows, height, width, channels), itemsize)
        indices = subset_indices(count, size)
        with self._open() as archive:
            images = read_rows(archive, header, indices, dtype)
        return images.reshape(len(indices), height, width, channels), indices

    def _sample_images(self, count: int) -> Shaped[np.ndarray, "n h w c"]:
        return self._read_images("train" if "train" in self.splits else "test", count)[0]

    def _read_images_header(self, archive: zipfile.ZipFile, name: str) -> ArrayHeader | None:
        header = read_header(archive, name)
        if header is None:
            return None
        shape, dtype = header.shape, header.dtype
        if len(shape) not in (3, 4) or 0 in shape or not (dtype == np.uint8 or dtype.kind == "f"):
            raise InputError(f"'{name}' is {dtype} of shape {shape}; allowed: {_IMAGES}.")
        if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
            raise InputError(f"'{name}' has the shape {shape}, with channels before rows; allowed: {_IMAGES}.")
        return header

    @functools.cached_property
    def _labels(self) -> dict[str, Int[np.ndarray, " _"]]:
        found = {}
        first = self._headers["test"]
        for split, images in self._headers.items():
            images_name, name = ARRAYS[split]
            if _with_channels(images.shape)[1:] != _with_channels(first.shape)[1:]:
                raise InputError(
                    f"{self._path}: '{images_name}' has the shape {images.shape} and '{first.name}' {first.shape}; "
                    "allowed: images of one size."
                )
            labels = self._read_vector(name)
            if labels is None or labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
                found_type = "missing" if labels is None else f"{labels.dtype} of shape {labels.shape}"
                raise InputError(
                    f"{self._path}: '{name}' is {found_type}; allowed: one integer per image ({images.shape[0]})."
                )
            found[split] = labels.astype(np.int64)
        return found

    @functools.cached_property
    def _classes(self) -> tuple[str, ...]:
        low = min(int(labels.min()) for labels in self._labels.values())
        high = max(int(labels.max()) for labels in self._labels.values())
        names = self._read_vector("classes")
        if names is not None and (names.dtype.kind != "U" or names.ndim != 1):
            raise InputError(
                f"{self._path}: 'classes' is {names.dtype} of shape {names.shape}; allowed: an array of names, such as "
                "np.array(['cat', 'dog'])."
            )
        count = MAX_CLASSES if names is None else len(names)
        if low < 0 or high >= count:
            raise InputError(f"{self._path}: labels range from {low} to {high}; allowed: from 0 to {count - 1}.")
        return check_classes(str(self._path), [str(name) for name in (range(high + 1) if names is None else names)])

    def _read_vector(self, name: str) -> np.ndarray | None:
        with self._open() as archive:
            header = read_header(archive, name)
            if header is None:
                return None
            if len(header.shape) != 1 or header.nbytes > MAX_LABEL_BYTES:
                raise InputError(
                    f"'{name}' has {header.nbytes:,} bytes in the shape {header.shape}; allowed: one axis, at most "
                    f"{MAX_LABEL_BYTES:,} bytes."
                )
            return read_rows(archive, header, np.arange(header.shape[0]), header.dtype)

    @contextlib.contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        """Open the file; errors name it."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except InputError as error:
            raise InputError(f"{self._path}: {error}") from None
        except OSError as error:
            raise InputError(f"Cannot read {self._path}: {error.strerror or error}.") from None
        except Exception as error:  # The parsers raise various errors on damaged files.
            raise InputError(f"{self._path} is not a file written by np.savez ({error}).") from None


def _with_channels(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return (n, height, width, channels) of images without or with a channel axis."""
    count, height, width = shape[:3]
    return count, height, width, shape[3] if len(shape) == 4 else 1
