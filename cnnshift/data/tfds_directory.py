"""Data sets that tensorflow-datasets prepared, here or elsewhere, read without TensorFlow."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from cnnshift.data.image_files import square
from cnnshift.data.limits import MAX_IMAGES, check_memory
from cnnshift.data.record_file import read_records
from cnnshift.data.silence import silence
from cnnshift.data.tfds_safety import check_feature_classes
from cnnshift.errors import CnnshiftError, InputError

with warnings.catch_warnings():
    # What its dependencies deprecate is nothing that our users can act on.
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds

INFO = "dataset_info.json"
FEATURES = "features.json"
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared directory.

    Attributes:
        directory: where it is.
        builder: reads it.
        keys: of the image and the label in an example.
        shape: (h, w, channels) of the images; None where it varies.
        classes: their names.
    """

    directory: Path
    # Any, because the decorators of its methods hide their parameters.
    builder: Any
    keys: tuple[str, str]
    shape: tuple[int | None, int | None, int]
    classes: tuple[str, ...]

    @property
    def splits(self) -> list[str]:
        """Names of its splits."""
        return list(self.builder.info.splits)

    def count(self, split: str) -> int:
        """Number of images of a split, or of a part of it as `test[:50%]`.

        Raises:
            InputError: not a split, an empty part, or more images than anybody has.
        """
        try:
            with silence():
                count = self.builder.info.splits[split].num_examples
        except Exception:  # KeyError, ValueError, AssertionError: it depends on what is wrong
            count = 0
        if not count:
            raise InputError(
                f"split is '{split}', which {self.directory} does not have or which is empty; allowed: "
                f"{', '.join(self.splits)}, or a part of one as {self.splits[0]}[:50%]."
            )
        if count > MAX_IMAGES:
            raise InputError(
                f"{self.directory} claims {count:,} images in the split '{split}'; allowed: at most {MAX_IMAGES:,}."
            )
        return count

    def size(self, count: int, side: int | None) -> tuple[int, int, int, int]:
        """(n, h, w, channels) of some images in memory.

        Args:
            count: how many they are.
            side: as for `decode`.

        Raises:
            InputError: sizes vary and no side is given, or too much memory.
        """
        height, width, channels = self.shape if side is None else (side, side, self.shape[2])
        if height is None or width is None:
            raise InputError(f"The images of {self.directory} vary in size; give the option size=N.")
        check_memory(str(self.directory), (count, height, width, channels))
        return count, height, width, channels

    def share(self, one: str, other: str) -> bool:
        """Whether two splits, or parts of splits, have an image in common.

        Raises:
            InputError: as for `count`.
        """
        self.count(one)
        self.count(other)
        taken: dict[Path, list[range]] = {}
        with silence():
            for path, first, count in self._shards(one):
                taken.setdefault(path, []).append(range(first, first + count))
            return any(
                places.start < first + count and first < places.stop
                for path, first, count in self._shards(other)
                for places in taken.get(path, [])
            )

    @property
    def stamp(self) -> str:
        """Changes when the directory is prepared again: names, sizes and times of its files."""
        files = sorted(path for path in self.directory.iterdir() if path.is_file())
        told = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def decode(
        self, split: str, chosen: Int[np.ndarray, " m"], side: int | None
    ) -> tuple[UInt8[np.ndarray, "m h w c"], Int[np.ndarray, " m"]]:
        """Some images and labels of a split, in their order.

        Args:
            split: as for `count`.
            chosen: their places, ascending.
            side: size of the squares that they are brought to; None leaves them as they are.

        Raises:
            InputError: as for `size`, or damaged files.
        """
        images = np.empty(self.size(len(chosen), side), np.uint8)
        labels = np.empty(len(chosen), np.int32)
        image_key, label_key = self.keys
        try:
            with silence():
                for place, example in enumerate(self._examples(split, chosen)):
                    pixels = example[image_key]
                    if side is None and pixels.shape != images.shape[1:]:
                        raise InputError(
                            f"{self.directory} promises images of shape {images.shape[1:]}, and image {chosen[place]} "
                            f"of '{split}' has {pixels.shape}; prepare it again, or say size=N."
                        )
                    images[place] = pixels if side is None else _squared(pixels, side)
                    labels[place] = example[label_key]
        except CnnshiftError:
            raise
        except Exception as error:  # damage surfaces as whatever the reader or the decoder raises
            raise InputError(f"{self.directory} cannot be read ({error}); prepare it again.") from None
        return images, labels

    def _examples(self, split: str, chosen: Int[np.ndarray, " m"]) -> Iterator[Any]:
        info = self.builder.info
        if info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
            source = self.builder.as_data_source(split=split)
            yield from (source[int(index)] for index in chosen)
            return
        wanted = iter([*chosen.tolist(), -1])
        following, place = next(wanted), 0
        for path, first, count in self._shards(split):
            for record in read_records(path, first, count):
                if place == following:
                    yield info.features.deserialize_example_np(record)
                    following = next(wanted)
                place += 1
                if following < 0:
                    return

    def _shards(self, split: str) -> Iterator[tuple[Path, int, int]]:
        """The files of a split, the first example that it takes of each, and how many."""
        for part in self.builder.info.splits[split].file_instructions:
            count = part.examples_in_shard - part.skip if part.take < 0 else part.take
            yield Path(part.filename), part.skip, count


def find_directory(root: Path, name: str, config: str, version: str) -> Path | None:
    """The directory of a prepared data set below the folder of all of them: ROOT/NAME[/CONFIG]/VERSION.

    Args:
        root: the folder.
        name: of the data set.
        config: of its configuration; empty takes the only one.
        version: empty takes the newest.

    Raises:
        InputError: there are several configurations, and none is named.
    """
    folder = root / name / config
    configs = [path.name for path in _folders(folder) if any((inner / INFO).is_file() for inner in _folders(path))]
    if not config and configs:
        if len(configs) > 1:
            raise InputError(f"{folder} has several configurations; write tfds:{name}:{'|'.join(configs)}.")
        folder = folder / configs[0]
    versions = [path for path in _folders(folder) if _VERSION.fullmatch(path.name) and (path / INFO).is_file()]
    found = [path for path in versions if version in ("", path.name)]
    return max(found, key=lambda path: tuple(map(int, path.name.split("."))), default=None)


def open_directory(directory: Path) -> Prepared:
    """Find out what a prepared directory holds.

    Raises:
        InputError: it is damaged, names code to import, or its examples are not images with one class each.
    """
    try:
        for name in (INFO, FEATURES):
            check_feature_classes(directory / name, tfds.features.FeatureConnector._registered_features)
        with silence():
            builder = cast(Any, tfds.builder_from_directory(directory))
            info = builder.info
            keys, features = info.supervised_keys, info.features
            image, label = (features[key] for key in keys) if keys and len(keys) == 2 else (None, None)
    except CnnshiftError:
        raise
    except Exception as error:  # damage surfaces as whatever the parser of that part raises
        raise InputError(f"{directory} is no data set that tensorflow-datasets prepared ({error}).") from None
    if not (isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel)):
        raise InputError(
            f"{directory} has {features} and the supervised keys {keys}; allowed: an image and one class label."
        )
    *size, channels = cast(Any, image.shape)
    if image.np_dtype != np.uint8 or channels not in (1, 3):
        raise InputError(
            f"{directory} has images of {image.np_dtype} and shape {image.shape}; allowed: grey or RGB bytes."
        )
    if info.file_format not in (tfds.core.FileFormat.ARRAY_RECORD, tfds.core.FileFormat.TFRECORD):
        raise InputError(f"{directory} is in the format {info.file_format}; allowed: array_record, tfrecord.")
    return Prepared(directory, builder, (keys[0], keys[1]), (size[0], size[1], channels), tuple(label.names))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _squared(pixels: UInt8[np.ndarray, "h w c"], side: int) -> UInt8[np.ndarray, "s s c"]:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return np.asarray(square(image, side)).reshape(side, side, -1)
