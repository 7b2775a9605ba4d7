"""The cache of decoded images: only intact files are read, and nothing in a file is executed."""

import os

import numpy as np
import pytest

from cnnshift.data.image_cache import read_images, write_images

IMAGES = np.arange(60, dtype=np.uint8).reshape(4, 3, 5, 1)
LABELS = np.array([0, 1, 0, 2], np.int32)


class Trap:
    """Unpickling this creates a directory."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def path(tmp_path):
    write_images(tmp_path / "images.npz", (IMAGES, LABELS))
    return tmp_path / "images.npz"


def is_original(decoded):
    images, labels = decoded
    return np.array_equal(images, IMAGES) and np.array_equal(labels, LABELS)


def test_reads_what_was_written(path):
    images, labels = read_images(path)
    assert is_original((images, labels))
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    with np.load(path, allow_pickle=False) as arrays:
        assert is_original((arrays["images"], arrays["labels"]))
    assert os.listdir(path.parent) == ["images.npz"]


def test_missing_file(tmp_path, caplog):
    assert read_images(tmp_path / "none.npz") is None
    assert not caplog.records


def test_every_flipped_byte_is_detected_or_harmless(path):
    content = path.read_bytes()
    for index in range(len(content)):
        damaged = bytearray(content)
        damaged[index] ^= 0xFF
        path.write_bytes(damaged)
        decoded = read_images(path)
        assert decoded is None or is_original(decoded), index


def test_every_truncation_is_detected(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert read_images(path) is None, length


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": IMAGES},
        {"labels": LABELS},
        {"pictures": IMAGES, "labels": LABELS},
        {"images": IMAGES.astype(np.int8), "labels": LABELS},
        {"images": IMAGES[..., 0], "labels": LABELS},
        {"images": np.float32(1), "labels": LABELS},
        {"images": IMAGES, "labels": LABELS.astype(np.int64)},
        {"images": IMAGES, "labels": LABELS[:3]},
    ],
)
def test_files_with_other_arrays_are_refused(path, arrays, caplog):
    np.savez(path, **arrays)
    assert read_images(path) is None
    assert f"{path} is damaged and will be replaced." in caplog.text


def test_a_single_array_is_refused(path):
    with path.open("wb") as file:
        np.save(file, IMAGES)
    assert read_images(path) is None


def test_a_pickle_is_not_executed(path, tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.savez(path, images=trap, labels=LABELS)
    assert read_images(path) is None
    with path.open("wb") as file:
        np.save(file, trap, allow_pickle=True)
    assert read_images(path) is None
    assert not (tmp_path / "sprung").exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    write_images(path, (IMAGES + 1, LABELS))
    assert "The decoded images were not cached. Cannot write" in caplog.text
    assert "no space" in caplog.text
    assert os.listdir(path.parent) == ["images.npz"]
    assert is_original(read_images(path))


def test_files_have_the_usual_permissions(path, tmp_path):
    """A cache may be shared: its files must not be private as temporary files are."""
    (tmp_path / "plain").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
