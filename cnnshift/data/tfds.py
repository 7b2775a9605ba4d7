"""Data set `tfds:NAME`: any prepared image classification data set of tensorflow-datasets, without TensorFlow."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pydantic
from jaxtyping import UInt8

from cnnshift.data.background import Background, resolve_background
from cnnshift.data.base import Dataset, DatasetOptions
from cnnshift.data.image_cache import Decoded, cache_path, read_images, write_images
from cnnshift.data.limits import MAX_SIDE, check_classes
from cnnshift.data.split import Split, subset_indices
from cnnshift.errors import InputError

if TYPE_CHECKING:
    from cnnshift.data.tfds_directory import TfdsDirectory

PREPARABLE = ("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn_cropped")
TEST_SPLITS = ("test", "validation")

_ARGUMENT = re.compile(
    r"(?P<name>[A-Za-z]\w*)(?:[:/](?P<config>[A-Za-z_][\w.+\-]*))?(?:[:/](?P<version>\d+\.\d+\.\d+))?", re.ASCII
)
_log = logging.getLogger("cnnshift")


class TfdsOptions(DatasetOptions):
    """Options of `Tfds`."""

    split: str | None = None
    train_split: str | None = None
    size: Annotated[int, pydantic.Field(ge=1, le=MAX_SIDE)] | None = None
    context: Annotated[int, pydantic.Field(ge=0, le=MAX_SIDE // 4)] = 0
    background: Background = "black"
    data_dir: Annotated[str | None, pydantic.Field(exclude=True)] = None
    raw_dir: Annotated[str | None, pydantic.Field(exclude=True)] = None


class Tfds(Dataset[TfdsOptions]):
    """NAME[:CONFIG][:VERSION] of tensorflow-datasets, with one class label per image, as array_record or tfrecord.

    A missing mnist, fashion_mnist, cifar10, cifar100 or svhn_cropped is prepared, with the name, version and checksums
    of tensorflow-datasets. Any other data set must already be prepared.

    Options:
        data_dir: directory of prepared data sets; by default `$TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        raw_dir: directory of the original files under their original names; by default they are downloaded.
        split: test images; by default `test`, or else `validation`. A part is written as `test[:50%]`.
        train_split: training images; by default `train`. It must not overlap the test images.
        size: as for `folder`.
        context: as for `folder`.
        background: as for `folder`, except that there are no transparent pixels.
    """

    name = "tfds"
    version = "1.0.0"
    licence = "that of the data set"
    citation = "TensorFlow Datasets, and the citation of the data set"
    options_type = TfdsOptions

    def __init__(self, argument: str, options: TfdsOptions | None = None) -> None:
        super().__init__(options)
        match = _ARGUMENT.fullmatch(argument)
        if not match:
            raise InputError(f"The data set is 'tfds:{argument}'; allowed: tfds:NAME[:CONFIG][:VERSION].")
        self._name, self._config, self._version = (part or "" for part in match.group("name", "config", "version"))
        self._directory = self._open()
        path = self._directory.path
        config = [] if path.parent.name == self._name else [path.parent.name]
        self.argument = ":".join([self._name, *config, path.name])
        has_train = self.options.train_split is not None or "train" in self._directory.splits
        self.splits = ("test", "train") if has_train else ("test",)

    def _load(self, split: str, limit: int | None) -> Split:
        images, labels = self._decode(split, limit)
        classes = check_classes(f"'tfds:{self.argument}'", self._directory.classes)
        background = resolve_background(self.options.background, images.shape[-1], self._sample_images)
        return Split(images, labels, classes, background, self.options.context)

    def _decode(self, split: str, limit: int | None) -> Decoded:
        name, options = self._split_name(split), self.options
        side = None if options.size is None else options.size + 2 * options.context
        count = self._directory.count(name)
        size = count if limit is None else min(limit, count)
        # Before memory is allocated: the count is not verified yet.
        self._directory.check_shape(size, side)
        indices = subset_indices(count, size)
        key = {"version": self.version, "data_set": self.argument, "split": name, "side": side}
        path = cache_path(self._name, {**key, "files": self._directory.files_digest})
        if (cached := read_images(path)) is not None:
            return cached[0][indices], cached[1][indices]
        decoded = self._directory.decode(name, indices, side)
        if len(indices) == count:
            write_images(path, decoded)
        return decoded

    def _sample_images(self, count: int) -> UInt8[np.ndarray, "n h w c"]:
        return self._decode("train" if "train" in self.splits else "test", count)[0]

    def _split_name(self, split: str) -> str:
        """Return the name of the test or training split in the directory."""
        names = self._directory.splits
        test = self.options.split or next((name for name in TEST_SPLITS if name in names), None)
        if test is None:
            raise InputError(
                f"'tfds:{self.argument}' has no test split, only {', '.join(names)}; use parts of one, such as "
                f"split={names[0]}[80%:],train_split={names[0]}[:80%]."
            )
        if split == "test":
            return test
        train = self.options.train_split or "train"
        if self._directory.overlap(train, test):
            raise InputError(
                f"The training images '{train}' of 'tfds:{self.argument}' overlap the test images '{test}'; set "
                f"train_split to other images, such as split=train[80%:],train_split=train[:80%]."
            )
        return train

    def _open(self) -> TfdsDirectory:
        from cnnshift.data.tfds_directory import find_directory, open_directory

        options = self.options
        root = Path(options.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
        path = find_directory(root, self._name, self._config, self._version)
        return open_directory(path or self._prepare(root))

    def _prepare(self, root: Path) -> Path:
        argument = ":".join(part for part in (self._name, self._config, self._version) if part)
        if self._name not in PREPARABLE or self._config:
            raise InputError(
                f"'tfds:{argument}' is not prepared in {root}; set data_dir=DIR, or prepare it with "
                f"tensorflow-datasets. cnnshift can prepare {', '.join(PREPARABLE)}, without a configuration."
            )
        from cnnshift.data.tfds_builders import BUILDERS, prepare

        if self._version not in ("", version := str(BUILDERS[self._name].VERSION)):
            raise InputError(f"'tfds:{argument}' is not prepared in {root}; cnnshift can prepare version {version}.")
        raw_dir = None if self.options.raw_dir is None else Path(self.options.raw_dir).expanduser()
        if raw_dir is not None and not raw_dir.is_dir():
            raise InputError(f"raw_dir is '{self.options.raw_dir}', which is not a directory.")
        _log.info("Preparing %s in %s", self._name, root)
        return prepare(self._name, root, raw_dir)
