"""Builders of common data sets that do not need TensorFlow, unlike those of tensorflow-datasets.

Names, versions, URLs, checksums, and the order and content of the examples are those of the original builders, so that
either side can read what the other prepared.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cnnshift.data.silence import silence
from cnnshift.errors import InputError, MeasurementError

with silence():
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.datasets.svhn_cropped import svhn_cropped_dataset_builder as svhn
    from tensorflow_datasets.image_classification import cifar, mnist

# Any, because the overridden methods have other parameters, which decorators hide.
_MNIST: Any = mnist.MNIST
_FASHION: Any = mnist.FashionMNIST
_CIFAR10: Any = cifar.Cifar10
_CIFAR100: Any = cifar.Cifar100
_SVHN: Any = svhn.Builder

TIMEOUT = 10
"""Seconds to wait for the first answer of a server."""

Examples = Iterator[tuple[int, dict[str, Any]]]
Pixels = UInt8[np.ndarray, "..."]


# Keep the original builders in the registry of tensorflow-datasets.
with registered.skip_registration():

    class _Mnist(_MNIST):
        """MNIST, and data sets in its format: four gzip files of a header and bytes."""

        name = "mnist"
        url_infos = _MNIST.url_infos
        files: ClassVar[dict[str, tuple[str, ...]]] = {
            "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
            "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        }

        def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
            # The original asks for extracted files, which needs TensorFlow.
            return {split: self._generate_examples(*paths) for split, paths in _download(self, dl_manager).items()}

        def _generate_examples(self, images_path: Any, labels_path: Any) -> Examples:
            images = _idx(images_path, 16).reshape(-1, 28, 28)
            for index, (image, label) in enumerate(zip(images, _idx(labels_path, 8), strict=True)):
                yield index, {"image": Image.fromarray(image), "label": int(label)}

    class _FashionMnist(_Mnist, _FASHION):
        name = "fashion_mnist"
        url_infos = _FASHION.url_infos

    class _Cifar10(_CIFAR10):
        """CIFAR: one archive of records, each of label bytes and 3×32×32 bytes."""

        name = "cifar10"
        url_infos = _CIFAR10.url_infos
        files: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("cifar-10-binary.tar.gz",)}

        def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
            info = self._cifar_info
            content = _read_archive(*_download(self, dl_manager)["all"])
            for key, file in zip(info.label_keys, info.label_files, strict=True):
                names = content[info.prefix + file].decode().split("\n")
                self.info.features[key].names = [name for name in names if name]
            files = {"train": info.train_files, "test": info.test_files}
            return {
                split: self._generate_examples(f"{split}_", b"".join(content[info.prefix + name] for name in names))
                for split, names in files.items()
            }

        def _generate_examples(self, split_prefix: str, filepaths: bytes) -> Examples:
            keys = self._cifar_info.label_keys
            records = np.frombuffer(filepaths, np.uint8).reshape(-1, len(keys) + 3072)
            for index, record in enumerate(records):
                pixels = record[len(keys) :].reshape(3, 32, 32).transpose(1, 2, 0)
                labels = dict(zip(keys, record.tolist(), strict=False))
                image = Image.fromarray(np.ascontiguousarray(pixels))
                yield index, {**labels, "id": f"{split_prefix}{index:05d}", "image": image}

    class _Cifar100(_Cifar10, _CIFAR100):
        name = "cifar100"
        url_infos = _CIFAR100.url_infos
        files: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("cifar-100-binary.tar.gz",)}

    class _SvhnCropped(_SVHN):
        """SVHN: MATLAB files. It omits the split `extra` (1.3 GB)."""

        name = "svhn_cropped"
        url_infos = _SVHN.url_infos
        files: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)}

        def _info(self) -> tfds.core.DatasetInfo:
            features = {
                "image": tfds.features.Image(shape=(32, 32, 3)),
                "label": tfds.features.ClassLabel(num_classes=10),
                "id": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                description="The Street View House Numbers (SVHN) data set, cropped to 32×32, train and test.",
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
                homepage=svhn.URL,
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
            paths = _download(self, dl_manager)
            return {split: self._generate_examples(f"{split}_", *path) for split, path in paths.items()}

        def _generate_examples(self, split_prefix: str, filepath: Any) -> Examples:
            from scipy.io import loadmat

            data = loadmat(filepath)
            for index, (image, label) in enumerate(zip(np.moveaxis(data["X"], -1, 0), data["y"].ravel(), strict=True)):
                # The file labels the digit 0 as 10.
                pixels = Image.fromarray(np.ascontiguousarray(image))
                yield index, {"image": pixels, "label": int(label) % 10, "id": f"{split_prefix}{index:06d}"}


BUILDERS: dict[str, Any] = {
    builder.name: builder for builder in (_Mnist, _FashionMnist, _Cifar10, _Cifar100, _SvhnCropped)
}


def prepare(name: str, root: Path, raw_dir: Path | None) -> Path:
    """Prepare one of `BUILDERS` below `root`; return the directory that `tfds.builder_from_directory` reads.

    The original files are read from `raw_dir`, or downloaded if it is None.

    Raises:
        InputError: a file is missing or has another checksum, or the server cannot be reached.
        MeasurementError: preparing failed otherwise, for example because the disk is full.
    """
    kind = BUILDERS[name]
    registered = {info.filename: (url, info) for url, info in kind.url_infos.items()}
    files = {file: registered[file] for names in kind.files.values() for file in names}
    if raw_dir is None:
        _check_connection(name, root, files)
    else:
        _check_files(name, raw_dir, files)
    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, 0
    try:
        with silence():
            builder = kind(data_dir=root, file_format="array_record")
            config = tfds.download.DownloadConfig(
                manual_dir=raw_dir, try_download_gcs=False, force_checksums_validation=True
            )
            builder.download_and_prepare(download_config=config)
            return Path(builder.data_dir)
    except Exception as error:  # The network, the disk and the decoders raise various errors.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MeasurementError(f"'tfds:{name}' could not be prepared in {root} ({reason}).") from None
    finally:
        downloader.MAX_RETRIES = retries


def _download(builder: Any, dl_manager: Any) -> dict[str, list[Any]]:
    """Return the local paths of the original files by split."""
    urls = {info.filename: url for url, info in builder.url_infos.items()}
    return dl_manager.download({split: [urls[name] for name in names] for split, names in builder.files.items()})


def _idx(path: Any, header: int) -> Pixels:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def _read_archive(path: Any) -> dict[str, bytes]:
    archive: Any
    with tarfile.open(path) as archive:
        # Read without extracting, so that names in the archive cannot address other files.
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}


def _check_files(name: str, raw_dir: Path, files: dict[str, tuple[str, Any]]) -> None:
    if missing := [file for file in files if not (raw_dir / file).is_file()]:
        raise InputError(f"raw_dir is {raw_dir}, which lacks {', '.join(missing)}; 'tfds:{name}' needs them.")
    for file, (_, info) in files.items():
        with (raw_dir / file).open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if digest != info.checksum:
            raise InputError(
                f"{raw_dir / file} has the SHA-256 {digest[:12]}…; allowed: {info.checksum[:12]}…, "
                f"registered by tensorflow-datasets for '{name}'."
            )


def _check_connection(name: str, root: Path, files: dict[str, tuple[str, Any]]) -> None:
    """Check that the server answers, because the downloader would wait without a limit."""
    import requests

    url, _ = next(iter(files.values()))
    try:
        with silence():
            requests.head(url, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise InputError(
            f"'tfds:{name}' is not prepared in {root} and cannot be downloaded ({type(error).__name__}); put "
            f"{', '.join(files)} into a directory and set raw_dir=DIR."
        ) from None
