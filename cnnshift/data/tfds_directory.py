"""Directories that tensorflow-datasets prepared, read without TensorFlow."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from cnnshift.data.image_files import resize_and_crop
from cnnshift.data.limits import MAX_IMAGES, check_memory
from cnnshift.data.silence import silence
from cnnshift.data.tfds_safety import check_feature_classes
from cnnshift.errors import CnnshiftError, InputError

with silence():
    import tensorflow_datasets as tfds

INFO = "dataset_info.json"
FEATURES = "features.json"
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_LENGTH, _CHECKSUM = 8, 4  # bytes of the fields of a record


@dataclass(frozen=True, slots=True)
class TfdsDirectory:
    """A prepared directory.

    Attributes:
        path: path of the directory.
        builder: the tensorflow-datasets builder that reads it.
        keys: keys of the image and of the label in an example.
        shape: (h, w, channels) of the images; None where it varies.
        classes: class names.
    """

    path: Path
    # Any, because decorators hide the parameters of its methods.
    builder: Any
    keys: tuple[str, str]
    shape: tuple[int | None, int | None, int]
    classes: tuple[str, ...]

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return list(self.builder.info.splits)

    def count(self, split: str) -> int:
        """Return the number of images of a split, or of a part such as `test[:50%]`.

        Raises:
            InputError: there is no such split, it is empty, or it has more than `MAX_IMAGES` images.
        """
        try:
            with silence():
                count = self.builder.info.splits[split].num_examples
        except Exception:  # KeyError, ValueError or AssertionError, depending on the mistake.
            count = 0
        if not count:
            raise InputError(
                f"split is '{split}', which is empty or not in {self.path}; allowed: "
                f"{', '.join(self.splits)}, or a part such as {self.splits[0]}[:50%]."
            )
        if count > MAX_IMAGES:
            raise InputError(f"{self.path} has {count:,} images in '{split}'; allowed: at most {MAX_IMAGES:,}.")
        return count

    def check_shape(self, count: int, side: int | None) -> tuple[int, int, int, int]:
        """Return the shape (n, h, w, channels) of `count` decoded images, after checking their size in memory.

        Raises:
            InputError: sizes vary and `side` is None, or the images need too much memory.
        """
        height, width, channels = self.shape if side is None else (side, side, self.shape[2])
        if height is None or width is None:
            raise InputError(f"The images of {self.path} vary in size; set the option size=N.")
        shape = (count, height, width, channels)
        check_memory(str(self.path), shape)
        return shape

    def overlap(self, one: str, other: str) -> bool:
        """Return whether two splits, or parts of splits, have a common image.

        Raises:
            InputError: as for `count`.
        """
        self.count(one)
        self.count(other)
        ranges: dict[Path, list[range]] = {}
        with silence():
            for path, first, count in self._shards(one):
                ranges.setdefault(path, []).append(range(first, first + count))
            return any(
                examples.start < first + count and first < examples.stop
                for path, first, count in self._shards(other)
                for examples in ranges.get(path, [])
            )

    @property
    def files_digest(self) -> str:
        """SHA-256 of the names, sizes and modification times of the files: it changes when they are prepared again."""
        files = sorted(path for path in self.path.iterdir() if path.is_file())
        states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return hashlib.sha256(repr(states).encode()).hexdigest()

    def decode(
        self, split: str, indices: Int[np.ndarray, " m"], side: int | None
    ) -> tuple[UInt8[np.ndarray, "m h w c"], Int[np.ndarray, " m"]]:
        """Decode the images and labels of a split, or a part of one, with these ascending indices.

        Images are resized and cropped to squares of that side; None keeps their size.

        Raises:
            InputError: as for `check_shape`, or a file is damaged.
        """
        images = np.empty(self.check_shape(len(indices), side), np.uint8)
        labels = np.empty(len(indices), np.int32)
        image_key, label_key = self.keys
        try:
            with silence():
                for row, example in enumerate(self._examples(split, indices)):
                    pixels = example[image_key]
                    if side is None and pixels.shape != images.shape[1:]:
                        raise InputError(
                            f"{self.path} declares images of shape {images.shape[1:]}, but image {indices[row]} of "
                            f"'{split}' has {pixels.shape}; prepare it again, or set size=N."
                        )
                    images[row] = pixels if side is None else _resize(pixels, side)
                    labels[row] = example[label_key]
        except CnnshiftError:
            raise
        except Exception as error:  # The readers and decoders raise various errors on damaged files.
            raise InputError(f"{self.path} cannot be read ({error}); prepare it again.") from None
        return images, labels

    def _examples(self, split: str, indices: Int[np.ndarray, " m"]) -> Iterator[Any]:
        info = self.builder.info
        if info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
            source = self.builder.as_data_source(split=split)
            yield from (source[int(index)] for index in indices)
            return
        remaining = iter([*indices.tolist(), -1])
        target, index = next(remaining), 0
        for path, first, count in self._shards(split):
            for record in read_records(path, first, count):
                if index == target:
                    yield info.features.deserialize_example_np(record)
                    target = next(remaining)
                index += 1
                if target < 0:
                    return

    def _shards(self, split: str) -> Iterator[tuple[Path, int, int]]:
        """Yield the files of a split with the index of the first example and the number of examples."""
        for part in self.builder.info.splits[split].file_instructions:
            count = part.examples_in_shard - part.skip if part.take < 0 else part.take
            yield Path(part.filename), part.skip, count


def find_directory(root: Path, name: str, config: str, version: str) -> Path | None:
    """Return the directory of a prepared data set, ROOT/NAME[/CONFIG]/VERSION; None if there is none.

    An empty `config` selects the only configuration, an empty `version` the newest.

    Raises:
        InputError: there are several configurations, and `config` is empty.
    """
    folder = root / name / config
    configs = [path.name for path in _subfolders(folder) if any((sub / INFO).is_file() for sub in _subfolders(path))]
    if not config and configs:
        if len(configs) > 1:
            raise InputError(f"{folder} has several configurations; allowed: tfds:{name}:{'|'.join(configs)}.")
        folder = folder / configs[0]
    versions = [path for path in _subfolders(folder) if _VERSION.fullmatch(path.name) and (path / INFO).is_file()]
    matching = [path for path in versions if version in ("", path.name)]
    return max(matching, key=lambda path: tuple(map(int, path.name.split("."))), default=None)


def open_directory(path: Path) -> TfdsDirectory:
    """Read the description of a prepared directory.

    Raises:
        InputError: the directory is damaged, names classes to import, or its examples are not images with one label.
    """
    try:
        for name in (INFO, FEATURES):
            check_feature_classes(path / name, tfds.features.FeatureConnector._registered_features)
        with silence():
            builder = cast(Any, tfds.builder_from_directory(path))
            info = builder.info
            keys, features = info.supervised_keys, info.features
            image, label = (features[key] for key in keys) if keys and len(keys) == 2 else (None, None)
    except CnnshiftError:
        raise
    except Exception as error:  # The parsers raise various errors on damaged files.
        raise InputError(f"{path} is not a prepared data set of tensorflow-datasets ({error}).") from None
    if not (isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel)):
        raise InputError(
            f"{path} has {features} and the supervised keys {keys}; allowed: an image and one class label."
        )
    *size, channels = cast(Any, image.shape)
    if image.np_dtype != np.uint8 or channels not in (1, 3):
        raise InputError(f"{path} has {image.np_dtype} images of shape {image.shape}; allowed: uint8, grey or RGB.")
    if info.file_format not in (tfds.core.FileFormat.ARRAY_RECORD, tfds.core.FileFormat.TFRECORD):
        raise InputError(f"{path} has the format {info.file_format}; allowed: array_record, tfrecord.")
    return TfdsDirectory(path, builder, (keys[0], keys[1]), (size[0], size[1], channels), tuple(label.names))


def read_records(path: Path, first: int, count: int) -> Iterator[bytes]:
    """Yield `count` records of a tfrecord file, skipping the first `first`.

    A record is its length, a checksum, the content, and a checksum. Lengths are checked against the size of the file;
    checksums are not verified.

    Raises:
        InputError: the file cannot be read, ends early, or has a record longer than the file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for index in range(first + count):
                header = file.read(_LENGTH + _CHECKSUM)
                if len(header) < _LENGTH + _CHECKSUM:
                    raise InputError(f"{path} has {index} records; {first + count} are needed.")
                length = int.from_bytes(header[:_LENGTH], "little")
                if file.tell() + length + _CHECKSUM > size:
                    raise InputError(f"{path} is damaged: record {index} has {length:,} bytes, the file {size:,}.")
                if index < first:
                    file.seek(length + _CHECKSUM, 1)
                    continue
                yield file.read(length)
                file.seek(_CHECKSUM, 1)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _resize(pixels: UInt8[np.ndarray, "h w c"], side: int) -> UInt8[np.ndarray, "s s c"]:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return np.asarray(resize_and_crop(image, side)).reshape(side, side, -1)
