"""Data set `folder:DIR`: images of the user's own, one folder per class."""

from __future__ import annotations

import functools
import logging
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pydantic
from jaxtyping import Int, UInt8

from cnnshift.data.background import Background, background_rgb, resolve_background
from cnnshift.data.base import DatasetOptions, SubsetDataset, check_split
from cnnshift.data.image_files import SUFFIXES, Header, decode_all, no_warnings, read_header
from cnnshift.data.limits import MAX_SIDE, check_classes, check_memory
from cnnshift.data.split import Split, subset_indices
from cnnshift.errors import InputError

SEED = 26  # of the order of the images; not the one of `Split.take`

_log = logging.getLogger("cnnshift")


class FolderOptions(DatasetOptions):
    """What is read, and what is made of it, see `Folder`."""

    split: str = "test"
    size: Annotated[int, pydantic.Field(ge=1, le=MAX_SIDE)] | None = None
    context: Annotated[int, pydantic.Field(ge=0, le=MAX_SIDE // 4)] = 0
    background: Background = "black"


DEFAULTS = FolderOptions()


class Folder(SubsetDataset):
    """DIR/train/CLASS/IMAGE and DIR/test/CLASS/IMAGE, or DIR/CLASS/IMAGE, which then are all to test on.

    Classes are the names of the folders, sorted. Images are upright, and in a seeded order that mixes the classes. If
    there is a single colour image, all have three channels. What is hidden, or is not called as images are, is no
    image; what is called so must be one.

    Options:
        split: name of the folder to test on, as `val`.
        size: side of the window that a model sees. Images are resized, with antialiasing, so that the shorter side has
            size + 2·context pixels, of which the central square is kept. Without, all images must have one size.
        context: pixels around the window on each side, taken from the images, which enter under the protocol `crop`.
        background: of the protocol `zero` and of canvases; also what is behind transparent pixels.
    """

    name: ClassVar[str] = "folder"
    version: ClassVar[str] = "1.0.0"
    licence: ClassVar[str] = "that of the images"
    citation: ClassVar[str] = "the user's own images"
    options_type: ClassVar[type[DatasetOptions]] = FolderOptions

    def __init__(self, argument: str, options: FolderOptions = DEFAULTS) -> None:
        root = Path(argument).expanduser()
        if not root.is_dir():
            raise InputError(f"The data set 'folder:{argument}' is no folder; allowed: DIR with DIR/CLASS/IMAGE.")
        self.argument = root.resolve().name
        self._options = options
        self._folders = _folders_of_splits(root, options.split)
        self._headers: dict[Path, Header] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """`test`, and `train` if there is such a folder, and another one is to test on."""
        return tuple(self._folders)

    def load_subset(self, split: str, limit: int | None) -> Split:
        """See `SubsetDataset`."""
        check_split(self.name, split, self.splits)
        with no_warnings():
            images, labels = self._decode(split, limit)
            background = resolve_background(self._options.background, images.shape[-1], self._some_images)
        return Split(images, labels, self._classes, background, self._options.context)

    def _decode(self, split: str, limit: int | None) -> tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]:
        paths, labels = self._listing(split)
        chosen = subset_indices(len(paths), len(paths) if limit is None else limit)
        height, width = self._image_size(split)
        shape = (height, width, self._channels)
        check_memory(str(self._folders[split]), (len(chosen), *shape))
        options = self._options
        matte = background_rgb(options.background)
        wanted = [paths[index] for index in chosen]
        return decode_all(wanted, shape, resize=options.size is not None, matte=matte), labels[chosen]

    def _some_images(self, count: int) -> UInt8[np.ndarray, "n h w c"]:
        return self._decode("train" if "train" in self.splits else "test", count)[0]

    @functools.cached_property
    def _classes(self) -> tuple[str, ...]:
        found = {split: _class_folders(folder) for split, folder in self._folders.items()}
        names = {split: check_classes(str(self._folders[split]), list(folders)) for split, folders in found.items()}
        if different := set(names["test"]) ^ set(names.get("train", names["test"])):
            name = min(different)
            there, missing = ("test", "train") if name in names["test"] else ("train", "test")
            raise InputError(f"{found[there][name]} has no counterpart '{name}' in {self._folders[missing]}.")
        return names["test"]

    @functools.cache  # noqa: B019 - a source lives as long as the command
    def _listing(self, split: str) -> tuple[list[Path], Int[np.ndarray, " n"]]:
        folders = _class_folders(self._folders[split])
        paths = [(path, label) for label, name in enumerate(self._classes) for path in _images_below(folders[name])]
        # RandomState: numpy promises that its stream never changes (NEP 19).
        order = np.random.RandomState(SEED).permutation(len(paths))
        return [paths[index][0] for index in order], np.array([paths[index][1] for index in order], np.int32)

    @functools.cached_property
    def _channels(self) -> int:
        """Three if any image is in colour: usually the first one that is looked at."""
        paths = (path for split in sorted(self.splits) for path in self._listing(split)[0])
        return 1 if all(self._header(path).grey for path in paths) else 3

    def _image_size(self, split: str) -> tuple[int, int]:
        size, context = self._options.size, self._options.context
        if size is not None:
            return size + 2 * context, size + 2 * context
        first = self._listing("test")[0][0]
        expected = self._header(first).size
        for path in self._listing(split)[0]:
            if (found := self._header(path).size) != expected:
                raise InputError(
                    f"{first} has {_by(expected)} pixels and {path} has {_by(found)}; allowed: one size, or the option "
                    f"size=N, to which all are resized."
                )
        return expected

    def _header(self, path: Path) -> Header:
        if path not in self._headers:
            self._headers[path] = read_header(path)
        return self._headers[path]


def _folders_of_splits(root: Path, test: str) -> dict[str, Path]:
    if (root / test).is_dir():
        train = root / "train"
        # What is tested on is never trained on.
        trains = train.is_dir() and not train.samefile(root / test)
        return {"test": root / test} | ({"train": train} if trains else {})
    if (root / "train").is_dir() or test != DEFAULTS.split:
        others = [path.name for path in _visible(root) if path.is_dir() and path.name != "train"]
        hint = f"; say which folder it is: split={'|'.join(others)}" if others else ""
        raise InputError(f"{root} has no folder '{test}' to test on{hint}.")
    return {"test": root}


def _class_folders(folder: Path) -> dict[str, Path]:
    """The folders of classes by name; composed characters, so that every file system gives the same names."""
    found: dict[str, Path] = {}
    for path in _visible(folder):
        name = unicodedata.normalize("NFC", path.name)
        if path.is_dir() and found.setdefault(name, path) != path:
            raise InputError(f"{folder} has two folders of the class '{name}', whose names are composed differently.")
    if not found:
        raise InputError(f"{folder} has no folders of classes; allowed: {folder / 'CLASS' / 'IMAGE'}.")
    return dict(sorted(found.items()))


def _images_below(folder: Path) -> list[Path]:
    """The image files in a folder and the folders in it, sorted; links to folders are followed, to each once."""
    found, others = [], []
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            (found if _is_called_image(name) else others).append(Path(parent, name))
    if others:
        _log.debug("%s: %d files are not called as images are, such as %s", folder, len(others), min(others).name)
    if not found:
        raise InputError(f"The class folder {folder} has no images; allowed: files that end in {', '.join(SUFFIXES)}.")
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise InputError(f"Cannot read {error.filename}: {error.strerror}.") from None


def _is_called_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _visible(folder: Path) -> Sequence[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"Cannot read {folder}: {error.strerror}.") from None


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
