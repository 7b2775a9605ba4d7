"""Data sets of tensorflow-datasets that are prepared here without TensorFlow, which their own builders need.

Names, versions, addresses and checksums are those of the originals, and so are the order and the content of what is
written: what is prepared here, others can read, and the other way round.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cnnshift.data.silence import silence
from cnnshift.errors import CnnshiftError, InputError, MeasurementError

with warnings.catch_warnings():
    # What its dependencies deprecate is nothing that our users can act on.
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.datasets.svhn_cropped import svhn_cropped_dataset_builder as svhn
    from tensorflow_datasets.image_classification import cifar, mnist

# Any: what they override here has other parameters, and the decorators of their methods hide them anyway.
_MNIST: Any = mnist.MNIST
_FASHION: Any = mnist.FashionMNIST
_CIFAR10: Any = cifar.Cifar10
_CIFAR100: Any = cifar.Cifar100
_SVHN: Any = svhn.Builder

SECONDS = 10
"""How long a server may take to answer at all."""

Examples = Iterator[tuple[int, dict[str, Any]]]
Pixels = UInt8[np.ndarray, "..."]


# The registry of tensorflow-datasets keeps the originals.
with registered.skip_registration():

    class _Mnist(_MNIST):
        """MNIST and data sets in its format: four gzipped files of a header and bytes."""

        name = "mnist"
        url_infos = _MNIST.url_infos
        files: ClassVar[dict[str, tuple[str, ...]]] = {
            "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
            "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        }

        def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
            # The originals ask for extracted files, which takes TensorFlow.
            paths = dl_manager.download(
                {split: [_url(self, name) for name in names] for split, names in self.files.items()}
            )
            return {split: self._generate_examples(*pair) for split, pair in paths.items()}

        def _generate_examples(self, images_path: Any, labels_path: Any) -> Examples:
            images = _idx(images_path, 16).reshape(-1, 28, 28)
            for index, (image, label) in enumerate(zip(images, _idx(labels_path, 8), strict=True)):
                yield index, {"image": Image.fromarray(image), "label": int(label)}

    class _FashionMnist(_Mnist, _FASHION):
        name = "fashion_mnist"
        url_infos = _FASHION.url_infos

    class _Cifar10(_CIFAR10):
        """CIFAR: one archive of records, label bytes and then 3×32×32 bytes."""

        name = "cifar10"
        url_infos = _CIFAR10.url_infos
        files: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("cifar-10-binary.tar.gz",)}

        def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
            about = self._cifar_info
            content = _unpacked(dl_manager.download(about.url))
            for key, file in zip(about.label_keys, about.label_files, strict=True):
                names = content[about.prefix + file].decode().split("\n")
                self.info.features[key].names = [name for name in names if name]
            files = {"train": about.train_files, "test": about.test_files}
            return {
                split: self._generate_examples(f"{split}_", b"".join(content[about.prefix + name] for name in names))
                for split, names in files.items()
            }

        def _generate_examples(self, split_prefix: str, filepaths: bytes) -> Examples:
            keys = self._cifar_info.label_keys
            records = np.frombuffer(filepaths, np.uint8).reshape(-1, len(keys) + 3072)
            for index, record in enumerate(records):
                pixels = record[len(keys) :].reshape(3, 32, 32).transpose(1, 2, 0)
                labels = {key: int(label) for key, label in zip(keys, record, strict=False)}
                image = Image.fromarray(np.ascontiguousarray(pixels))
                yield index, {**labels, "id": f"{split_prefix}{index:05d}", "image": image}

    class _Cifar100(_Cifar10, _CIFAR100):
        name = "cifar100"
        url_infos = _CIFAR100.url_infos
        files: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("cifar-100-binary.tar.gz",)}

    class _SvhnCropped(_SVHN):
        """House numbers: MATLAB files. Without the split `extra`, 1.3 GB that are not for testing."""

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
            paths = dl_manager.download({split: _url(self, *names) for split, names in self.files.items()})
            return {split: self._generate_examples(f"{split}_", path) for split, path in paths.items()}

        def _generate_examples(self, split_prefix: str, filepath: Any) -> Examples:
            from scipy.io import loadmat

            data = loadmat(filepath)
            for index, (image, label) in enumerate(zip(np.moveaxis(data["X"], -1, 0), data["y"].ravel(), strict=True)):
                # The file calls the digit 0 ten.
                pixels = Image.fromarray(np.ascontiguousarray(image))
                yield index, {"image": pixels, "label": int(label) % 10, "id": f"{split_prefix}{index:06d}"}


BUILDERS: dict[str, Any] = {
    builder.name: builder for builder in (_Mnist, _FashionMnist, _Cifar10, _Cifar100, _SvhnCropped)
}


def prepare(name: str, root: Path, raw_dir: Path | None) -> Path:
    """Prepare one of `BUILDERS` below a folder of prepared data sets.

    Args:
        name: of the data set.
        root: the folder.
        raw_dir: where the files of its authors are; None downloads them.

    Returns:
        The directory that `tfds.builder_from_directory` reads.

    Raises:
        InputError: a file is missing or is not the registered one, or nothing can be downloaded.
        MeasurementError: something else went wrong, as a full disk.
    """
    kind = BUILDERS[name]
    registered = {info.filename: (url, info) for url, info in kind.url_infos.items()}
    files = {file: registered[file] for names in kind.files.values() for file in names}
    if name == "svhn_cropped":
        _need_scipy()
    if raw_dir is None:
        _reach(name, root, files)
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
    except CnnshiftError:
        raise
    except Exception as error:  # whatever the network, the disk or a decoder raises
        why = " ".join(str(error).split()) or type(error).__name__
        raise MeasurementError(f"'tfds:{name}' could not be prepared in {root} ({why}).") from None
    finally:
        downloader.MAX_RETRIES = retries


def _url(builder: Any, name: str) -> str:
    return next(url for url, info in builder.url_infos.items() if info.filename == name)


def _idx(path: Any, header: int) -> Pixels:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def _unpacked(path: Any) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        # Read, not extracted: names in an archive decide nothing.
        members = ((member.name, archive.extractfile(member)) for member in archive if member.isfile())
        return {name: file.read() for name, file in members if file}


def _check_files(name: str, raw_dir: Path, files: dict[str, tuple[str, Any]]) -> None:
    if missing := [file for file in files if not (raw_dir / file).is_file()]:
        raise InputError(
            f"raw_dir is {raw_dir}, which lacks {', '.join(missing)}; 'tfds:{name}' is prepared from them."
        )
    for file, (_, info) in files.items():
        with (raw_dir / file).open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if digest != info.checksum:
            raise InputError(
                f"{raw_dir / file} has the SHA-256 {digest[:12]}…; allowed: {info.checksum[:12]}…, the file that "
                f"tensorflow-datasets registered for '{name}'."
            )


def _reach(name: str, root: Path, files: dict[str, tuple[str, Any]]) -> None:
    """Find out at once whether there is a network: the downloader itself would wait without a limit."""
    import requests

    url, _ = next(iter(files.values()))
    try:
        with silence():
            requests.head(url, timeout=SECONDS)
    except requests.RequestException as error:
        raise InputError(
            f"'tfds:{name}' is not prepared in {root} and cannot be downloaded ({type(error).__name__}); put "
            f"{', '.join(files)} into a folder and name it: raw_dir=DIR."
        ) from None


def _need_scipy() -> None:
    try:
        import scipy.io  # noqa: F401
    except ImportError:
        raise InputError(
            "'tfds:svhn_cropped' is prepared from MATLAB files, which scipy reads; pip install scipy."
        ) from None
