"""Data set `tfds:NAME`: any prepared data set of tensorflow-datasets, and five that are prepared here."""

from __future__ import annotations

import functools
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import pydantic
from jaxtyping import Int, UInt8

from cnnshift.data.background import Background, resolve_background
from cnnshift.data.base import DatasetOptions, SubsetDataset, check_split
from cnnshift.data.decoded import read_decoded, write_decoded
from cnnshift.data.limits import MAX_SIDE, check_classes
from cnnshift.data.split import Split, subset_indices
from cnnshift.errors import InputError

if TYPE_CHECKING:
    from cnnshift.data.tfds_directory import Prepared

PREPARED_HERE = ("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn_cropped")
TEST_SPLITS = ("test", "validation")

_ARGUMENT = re.compile(
    r"(?P<name>[A-Za-z]\w*)(?:[:/](?P<config>[A-Za-z_][\w.+\-]*))?(?:[:/](?P<version>\d+\.\d+\.\d+))?", re.ASCII
)
_log = logging.getLogger("cnnshift")


class TfdsOptions(DatasetOptions):
    """What is read, and what is made of it, see `Tfds`."""

    split: str | None = None
    train_split: str | None = None
    size: Annotated[int, pydantic.Field(ge=1, le=MAX_SIDE)] | None = None
    context: Annotated[int, pydantic.Field(ge=0, le=MAX_SIDE // 4)] = 0
    background: Background = "black"
    data_dir: Annotated[str | None, pydantic.Field(exclude=True)] = None
    raw_dir: Annotated[str | None, pydantic.Field(exclude=True)] = None


DEFAULTS = TfdsOptions()


class Tfds(SubsetDataset):
    """NAME[:CONFIG][:VERSION] of tensorflow-datasets: images with one class each, prepared as array_record or tfrecord.

    mnist, fashion_mnist, cifar10, cifar100 and svhn_cropped are prepared where they are missing, under their names,
    versions and checksums; any other data set must be there. TensorFlow is never needed.

    Options:
        data_dir: folder of prepared data sets; by default `$TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        raw_dir: folder of the files of the authors, under their names; without, they are downloaded.
        split: to test on; by default `test`, or else `validation`. SplitModel are written as `test[:50%]`.
        train_split: to train on; by default `train`. It must not have images to test on.
        size, context, background: as of `folder`.
    """

    name: ClassVar[str] = "tfds"
    version: ClassVar[str] = "1.0.0"
    licence: ClassVar[str] = "that of the data set"
    citation: ClassVar[str] = "TensorFlow Datasets; and what the data set itself says"
    options_type: ClassVar[type[DatasetOptions]] = TfdsOptions

    def __init__(self, argument: str, options: TfdsOptions = DEFAULTS) -> None:
        match = _ARGUMENT.fullmatch(argument)
        if not match:
            raise InputError(f"The data set 'tfds:{argument}' has no such form; allowed: tfds:NAME[:CONFIG][:VERSION].")
        self._name, self._config, self._version = (part or "" for part in match.group("name", "config", "version"))
        self._options = options

    @property
    def argument(self) -> str:
        """The name with configuration and version, as they were found."""
        directory = self._prepared.directory
        config = [] if directory.parent.name == self._name else [directory.parent.name]
        return ":".join([self._name, *config, directory.name])

    @property
    def splits(self) -> tuple[str, ...]:
        """`test`, and `train` if there is a split to train on."""
        return ("test", "train") if self._options.train_split or "train" in self._prepared.splits else ("test",)

    def load_subset(self, split: str, limit: int | None) -> Split:
        """See `SubsetDataset`."""
        check_split(self.name, split, self.splits)
        images, labels = self._decoded(split, limit)
        context = self._options.context
        if 2 * context >= min(images.shape[1:3]):
            raise InputError(
                f"context is {context}, but the images of 'tfds:{self.argument}' have {images.shape[1]}×"
                f"{images.shape[2]} pixels; allowed: less than half of that, or the option size=N."
            )
        classes = check_classes(f"'tfds:{self.argument}'", self._prepared.classes)
        background = resolve_background(self._options.background, images.shape[-1], self._some_images)
        return Split(images, labels, classes, background, context)

    def _decoded(self, split: str, limit: int | None) -> tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]:
        name, options = self._split_name(split), self._options
        side = None if options.size is None else options.size + 2 * options.context
        count = self._prepared.count(name)
        taken = count if limit is None else min(limit, count)
        # Before memory is asked for: the count is only what the directory claims.
        self._prepared.size(taken, side)
        chosen = subset_indices(count, taken)
        what = {"data_set": self.argument, "split": name, "side": side}
        key = {"version": self.version, **what, "files": self._prepared.stamp}
        kept = read_decoded(self._name, key)
        if kept is not None:
            return kept[0][chosen], kept[1][chosen]
        decoded = self._prepared.decode(name, chosen, side)
        if len(chosen) == count:
            write_decoded(self._name, key, decoded)
        return decoded

    def _some_images(self, count: int) -> UInt8[np.ndarray, "n h w c"]:
        return self._decoded("train" if "train" in self.splits else "test", count)[0]

    def _split_name(self, split: str) -> str:
        there = self._prepared.splits
        found = self._options.split or next((name for name in TEST_SPLITS if name in there), None)
        if found is None:
            raise InputError(
                f"'tfds:{self.argument}' has the splits {', '.join(there)}, and none to test on; divide one, as "
                f"split={there[0]}[80%:],train_split={there[0]}[:80%]."
            )
        if split == "test":
            return found
        train = self._options.train_split or "train"
        if self._prepared.share(train, found):
            raise InputError(
                f"'tfds:{self.argument}' has images of '{found}', to test on, in '{train}', to train on; give a "
                f"train_split=PART without them, as split=train[80%:],train_split=train[:80%]."
            )
        return train

    @functools.cached_property
    def _prepared(self) -> Prepared:
        from cnnshift.data.tfds_directory import find_directory, open_directory

        options = self._options
        root = Path(options.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
        directory = find_directory(root, self._name, self._config, self._version)
        return open_directory(directory or self._prepare(root))

    def _prepare(self, root: Path) -> Path:
        asked = ":".join(part for part in (self._name, self._config, self._version) if part)
        if self._name not in PREPARED_HERE or self._config:
            raise InputError(
                f"'tfds:{asked}' is not prepared in {root}; give the folder as data_dir=DIR, or prepare it with "
                f"tensorflow-datasets. cnnshift itself prepares {', '.join(PREPARED_HERE)}, without a configuration."
            )
        from cnnshift.data.tfds_builders import BUILDERS, prepare

        if self._version not in ("", version := str(BUILDERS[self._name].VERSION)):
            raise InputError(f"'tfds:{asked}' is not prepared in {root}; prepared here: version {version}.")
        raw_dir = self._options.raw_dir
        if raw_dir is not None and not Path(raw_dir).expanduser().is_dir():
            raise InputError(f"raw_dir is '{raw_dir}', which is no folder.")
        _log.info("preparing %s in %s", self._name, root)
        return prepare(self._name, root, Path(raw_dir).expanduser() if raw_dir else None)
