"""The builders of common data sets, run on small files in the original formats without TensorFlow or a network."""

import gzip
import hashlib
import io
import struct
import sys
import tarfile

import numpy as np
import pytest

from cnnshift.data import tfds as tfds_source
from cnnshift.data.base import create_dataset
from cnnshift.errors import InputError, MeasurementError
from cnnshift.spec import DatasetSpec
from tests.user_images import pictures

pytestmark = pytest.mark.usefixtures("no_network")


def opened(argument, root, **options):
    return create_dataset(DatasetSpec("tfds", {"data_dir": str(root), **options}, argument))


def idx(array):
    head = struct.pack(">I", 0x0800 + array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def raw_files(name, count=6):
    """Return original files by name, with a few random images."""
    side = 28 if "mnist" in name else 32
    images, labels = pictures(count, side=side, channels=1 if side == 28 else 3)
    if "mnist" in name:
        pairs = (("images-idx3", images[..., 0]), ("labels-idx1", labels))
        return {f"{split}-{part}-ubyte.gz": idx(array) for split in ("train", "t10k") for part, array in pairs}
    if name == "svhn_cropped":
        from scipy.io import savemat

        file = io.BytesIO()
        savemat(file, {"X": images.transpose(1, 2, 3, 0), "y": (10 - 9 * labels)[:, None]})
        return {f"{split}_32x32.mat": file.getvalue() for split in ("train", "test")}
    fine = np.stack([labels, labels], axis=1) if name == "cifar100" else labels[:, None]
    records = np.concatenate([fine.astype(np.uint8), images.transpose(0, 3, 1, 2).reshape(count, -1)], axis=1).tobytes()
    prefix, names = {
        "cifar10": ("cifar-10-batches-bin", ["test_batch.bin", *(f"data_batch_{n}.bin" for n in range(1, 6))]),
        "cifar100": ("cifar-100-binary", ["test.bin", "train.bin"]),
    }[name]
    texts = {
        "cifar10": {"batches.meta.txt": 10},
        "cifar100": {"coarse_label_names.txt": 20, "fine_label_names.txt": 100},
    }
    contents = dict.fromkeys(names, records)
    contents |= {file: "\n".join(f"kind {n}" for n in range(count)).encode() for file, count in texts[name].items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for file, content in contents.items():
            info = tarfile.TarInfo(f"{prefix}/{file}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return {{"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}[name]: packed.getvalue()}


def register(name, files, monkeypatch):
    """Register the checksums of these files instead of those of the original files."""
    from tensorflow_datasets.core.download.checksums import UrlInfo
    from tensorflow_datasets.core.utils import Size

    from cnnshift.data.tfds_builders import BUILDERS

    infos = {
        url: UrlInfo(Size(len(files[info.filename])), hashlib.sha256(files[info.filename]).hexdigest(), info.filename)
        for url, info in BUILDERS[name].url_infos.items()
        if info.filename in files
    }
    monkeypatch.setattr(BUILDERS[name], "url_infos", infos)


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()

    def write(name):
        files = raw_files(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        return files

    return write


@pytest.mark.parametrize("name", tfds_source.PREPARABLE)
def test_data_sets_are_prepared_from_original_files(name, raw, tmp_path, monkeypatch):
    from cnnshift.data.tfds_builders import BUILDERS

    version = str(BUILDERS[name].VERSION)
    register(name, raw(name), monkeypatch)
    source = opened(name, tmp_path / "made", raw_dir=str(tmp_path / "raw"))
    assert str(source.spec) == f"tfds:{name}:{version}"
    assert (tmp_path / "made" / name / version / "dataset_info.json").is_file()
    test = source.load("test")
    assert len(test.classes) == (100 if name == "cifar100" else 10)
    side = 28 if "mnist" in name else 32
    images, labels = pictures(6, side=side, channels=test.channels)
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert [label_of[image.tobytes()] for image in test.images] == test.labels.tolist()
    assert len(source.load("train")) == (30 if name == "cifar10" else 6)
    # Once prepared, it is read without the original files.
    assert opened(name, tmp_path / "made").load("test").fingerprint == test.fingerprint
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("name", tfds_source.PREPARABLE)
def test_checksums_are_those_of_tensorflow_datasets(name, raw, tmp_path):
    file = next(iter(raw(name)))
    with pytest.raises(InputError, match=rf"{file} has the SHA-256 .*; allowed: .*, registered by .* for '{name}'"):
        opened(name, tmp_path / "made", raw_dir=str(tmp_path / "raw"))
    (tmp_path / "raw" / file).unlink()
    with pytest.raises(InputError, match=f"raw, which lacks {file}"):
        opened(name, tmp_path / "made", raw_dir=str(tmp_path / "raw"))


def test_a_failure_while_preparing_is_one_sentence(raw, tmp_path, monkeypatch):
    files = raw("mnist")
    files["t10k-images-idx3-ubyte.gz"] = b"not gzip"
    (tmp_path / "raw" / "t10k-images-idx3-ubyte.gz").write_bytes(b"not gzip")
    register("mnist", files, monkeypatch)
    with pytest.raises(MeasurementError, match=r"'tfds:mnist' could not be prepared in .*made \("):
        opened("mnist", tmp_path / "made", raw_dir=str(tmp_path / "raw"))
