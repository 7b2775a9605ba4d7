"""Data set `folder:DIR`: image files, one directory per class."""

from __future__ import annotations

import functools
import logging
import os
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic
from jaxtyping import Int, UInt8

from cnnshift.data.background import Background, background_rgb, resolve_background
from cnnshift.data.base import Dataset, DatasetOptions
from cnnshift.data.image_files import SUFFIXES, decode_images, read_header
from cnnshift.data.limits import MAX_SIDE, check_classes, check_memory
from cnnshift.data.split import Split, subset_indices
from cnnshift.errors import InputError

SEED = 26  # of the order of the images

_log = logging.getLogger("cnnshift")


class FolderOptions(DatasetOptions):
    """Options of `Folder`."""

    split: str = "test"
    size: Annotated[int, pydantic.Field(ge=1, le=MAX_SIDE)] | None = None
    context: Annotated[int, pydantic.Field(ge=0, le=MAX_SIDE // 4)] = 0
    background: Background = "black"


class Folder(Dataset[FolderOptions]):
    """Image files in DIR/train/CLASS and DIR/test/CLASS, or in DIR/CLASS (all are test images).

    - Images: every file with an image suffix, also in subdirectories, with its EXIF orientation applied, in a seeded
      order that mixes the classes. Hidden files and other suffixes are ignored; a file that cannot be decoded is an
      error. If one image has colour, all have three channels.
    - Classes: the names of the directories, sorted; the same in both splits.
    - Splits: `test`, and `train` if there is such a directory other than the test images.

    Options:
        split: directory of the test images, as `val`.
        size: side of the window. The shorter side of an image is resized to size + 2·context pixels with antialiasing,
            and the central square is kept. By default all images must have the same size and are not resized.
        context: pixels of the image around the window on each side, which enter under the protocol `crop`.
        background: value of empty pixels, for the protocol `zero`, canvases and transparent pixels.
    """

    name = "folder"
    version = "1.0.0"
    licence = "that of the images"
    citation = "the user's own images"
    options_type = FolderOptions

    def __init__(self, argument: str, options: FolderOptions | None = None) -> None:
        super().__init__(options)
        root = Path(argument).expanduser()
        if not root.is_dir():
            raise InputError(f"folder:{argument}: not a directory; allowed: DIR with DIR/CLASS/IMAGE.")
        self.argument = root.resolve().name
        self._folders = _find_splits(root, self.options.split)
        self.splits = tuple(self._folders)
        self._header = functools.cache(read_header)

    def _load(self, split: str, limit: int | None) -> Split:
        with warnings.catch_warnings(action="ignore"):
            images, labels = self._decode(split, limit)
            background = resolve_background(self.options.background, images.shape[-1], self._sample_images)
        return Split(images, labels, self._classes, background, self.options.context)

    def _decode(self, split: str, limit: int | None) -> tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]:
        paths, labels = self._list_images(split)
        indices = subset_indices(len(paths), len(paths) if limit is None else limit)
        height, width = self._image_size(split)
        shape = (height, width, self._channels)
        check_memory(str(self._folders[split]), (len(indices), *shape))
        subset = [paths[index] for index in indices]
        options = self.options
        background = background_rgb(options.background)
        return decode_images(subset, shape, resize=options.size is not None, background=background), labels[indices]

    def _sample_images(self, count: int) -> UInt8[np.ndarray, "n h w c"]:
        return self._decode("train" if "train" in self.splits else "test", count)[0]

    @functools.cached_property
    def _classes(self) -> tuple[str, ...]:
        found = {split: _class_folders(folder) for split, folder in self._folders.items()}
        names = {split: check_classes(str(self._folders[split]), list(folders)) for split, folders in found.items()}
        if different := set(names["test"]) ^ set(names.get("train", names["test"])):
            name = min(different)
            split, other = ("test", "train") if name in names["test"] else ("train", "test")
            raise InputError(
                f"{found[split][name]} has no counterpart '{name}' in {self._folders[other]}; both splits must have "
                "the same classes."
            )
        return names["test"]

    @functools.cache  # noqa: B019 - a data set lives as long as the command
    def _list_images(self, split: str) -> tuple[list[Path], Int[np.ndarray, " n"]]:
        folders = _class_folders(self._folders[split])
        paths = [(path, label) for label, name in enumerate(self._classes) for path in _find_images(folders[name])]
        order = np.random.RandomState(SEED).permutation(len(paths))
        return [paths[index][0] for index in order], np.array([paths[index][1] for index in order], np.int32)

    @functools.cached_property
    def _channels(self) -> int:
        paths = (path for split in sorted(self.splits) for path in self._list_images(split)[0])
        return 1 if all(self._header(path).grey for path in paths) else 3

    def _image_size(self, split: str) -> tuple[int, int]:
        size, context = self.options.size, self.options.context
        if size is not None:
            return size + 2 * context, size + 2 * context
        first = self._list_images("test")[0][0]
        expected = self._header(first).size
        for path in self._list_images(split)[0]:
            if (actual := self._header(path).size) != expected:
                raise InputError(
                    f"{first} has {expected[0]}×{expected[1]} pixels and {path} has {actual[0]}×{actual[1]}; allowed: "
                    "one size, or the option size=N to resize all."
                )
        return expected


def _find_splits(root: Path, test: str) -> dict[str, Path]:
    if (root / test).is_dir():
        train = root / "train"
        # Never train on the test images.
        has_train = train.is_dir() and not train.samefile(root / test)
        return {"test": root / test} | ({"train": train} if has_train else {})
    if (root / "train").is_dir() or test != FolderOptions.model_fields["split"].default:
        others = [path.name for path in _list_visible(root) if path.is_dir() and path.name != "train"]
        hint = f"; allowed: split={'|'.join(others)}" if others else ""
        raise InputError(f"{root} has no directory '{test}' of test images{hint}.")
    return {"test": root}


def _class_folders(folder: Path) -> dict[str, Path]:
    """Return the directories of the classes by name, in Unicode form NFC, so that all file systems agree."""
    found: dict[str, Path] = {}
    for path in _list_visible(folder):
        name = unicodedata.normalize("NFC", path.name)
        if path.is_dir() and found.setdefault(name, path) != path:
            raise InputError(
                f"{folder} has two directories for the class '{name}', in different Unicode forms; rename one."
            )
    if not found:
        raise InputError(f"{folder} has no class directories; allowed: {folder / 'CLASS' / 'IMAGE'}.")
    return dict(sorted(found.items()))


def _find_images(folder: Path) -> list[Path]:
    """Return the image files below a directory, sorted; every linked directory is visited once."""
    images, others = [], []
    visited: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_raise_unreadable, followlinks=True):
        if (real := os.path.realpath(parent)) in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            is_image = name.lower().endswith(SUFFIXES) and not name.startswith(".")
            (images if is_image else others).append(Path(parent, name))
    if others:
        _log.debug("%s: ignoring %d files without an image suffix, such as %s", folder, len(others), min(others).name)
    if not images:
        raise InputError(f"The class directory {folder} has no images; allowed suffixes: {', '.join(SUFFIXES)}.")
    return sorted(images)


def _raise_unreadable(error: OSError) -> None:
    raise InputError(f"Cannot read {error.filename}: {error.strerror}.") from None


def _list_visible(folder: Path) -> Sequence[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"Cannot read {folder}: {error.strerror}.") from None
