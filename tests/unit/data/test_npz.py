"""The data set `npz`: which arrays it reads, and the verification of their headers."""

import io
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from cnnshift.data.base import create_dataset
from cnnshift.errors import InputError
from cnnshift.spec import DatasetSpec
from tests.user_images import pictures, write_npz


def opened(path, **options):
    return create_dataset(DatasetSpec("npz", {key: str(value) for key, value in options.items()}, str(path)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pets.npz"


def test_arrays_are_not_changed(path):
    source = opened(write_npz(path), context=2)
    assert str(source.spec) == "npz:pets.npz:context=2"
    test, (images, labels) = source.load("test"), pictures(8)
    assert np.array_equal(test.images, images)
    assert np.array_equal(test.labels, labels)
    assert test.classes == ("cat", "dog")
    assert test.size == (12, 12)
    assert np.array_equal(source.load("train").images, pictures(8, seed=1)[0])


def test_without_class_names_and_training_images(path):
    source = opened(write_npz(path, classes=None, train_images=None))
    assert source.load("test").classes == ("0", "1")
    assert not source.has_train


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_without_a_channel_axis(path, dtype, order):
    images = (pictures(8)[0][..., 0] / 255).astype(dtype, order=order)
    write_npz(path, images=images, train_images=None)
    test = opened(path).load("test")
    assert test.images.dtype == np.float32
    assert np.array_equal(test.images[..., 0], images.astype(np.float32))
    assert opened(path).load("test", limit=3).fingerprint == test.take(3).fingerprint


def test_compressed_files_and_many_chunks(path, monkeypatch):
    monkeypatch.setattr("cnnshift.data.npz_reader._CHUNK", 1000)
    write_npz(path)
    plain = opened(path).load("test").fingerprint
    np.savez_compressed(path, **np.load(path))
    assert opened(path).load("test").fingerprint == plain


def test_a_limit_never_holds_all_images(path, monkeypatch):
    write_npz(path)
    monkeypatch.setattr("cnnshift.data.limits.MAX_BYTES", 2 * 16 * 16 * 3)
    with pytest.raises(InputError, match=r"pets\.npz, 'images': 8 images of 16×16×3 take .*; allowed: at most"):
        opened(path).load("test")
    assert len(opened(path).load("test", limit=2)) == 2
    monkeypatch.setattr("cnnshift.data.npz.subset_indices", None)
    with pytest.raises(InputError, match="allowed: at most"):
        opened(path).load("test", limit=3)


@pytest.mark.parametrize(
    ("dtype", "order", "itemsize"), [("f2", "C", 4), ("f8", "C", 4), ("f2", "F", 4), ("f8", "F", 8), ("u1", "F", 1)]
)
def test_the_memory_limit_counts_the_converted_array(path, monkeypatch, dtype, order, itemsize):
    write_npz(path, images=np.zeros((8, 16, 16, 3), dtype, order), train_images=None)
    monkeypatch.setattr("cnnshift.data.limits.MAX_BYTES", 8 * 16 * 16 * 3 * itemsize)
    assert len(opened(path).load("test")) == 8
    monkeypatch.setattr("cnnshift.data.limits.MAX_BYTES", 8 * 16 * 16 * 3 * itemsize - 1)
    with pytest.raises(InputError, match=r"8 images of 16×16×3 take .*; allowed: at most"):
        opened(path).load("test")


IMAGES, LABELS = pictures(8)

REFUSED = {
    "no images": ({"images": None}, "has no array 'images'"),
    "no labels": ({"labels": None}, r"'labels' is missing; allowed: one integer per image \(8\)"),
    "objects": ({"images": np.array([{}, {}])}, "Pickled objects are never read"),
    "integers": (
        {"images": IMAGES.astype(int)},
        r"'images' is int64 of shape \(8, 16, 16, 3\); allowed: uint8, or floats",
    ),
    "one axis": ({"images": IMAGES[0, 0, 0]}, "'images' is uint8 of shape"),
    "no pixels": ({"images": IMAGES[:0]}, "'images' is uint8 of shape"),
    "channels first": ({"images": IMAGES.transpose(0, 3, 1, 2)}, "with channels before rows"),
    "too light": ({"images": IMAGES.astype(np.float32)}, "has floats outside 0..1"),
    "not a number": ({"images": np.full((8, 16, 16, 3), np.nan)}, "has floats outside 0..1"),
    "fewer labels": (
        {"labels": LABELS[1:]},
        r"'labels' is int64 of shape \(7,\); allowed: one integer per image \(8\)",
    ),
    "labels of no bytes": ({"labels": np.empty((2**20, 0), int)}, r"in the shape \(1048576, 0\); allowed: one axis"),
    "float labels": ({"labels": LABELS / 2}, "'labels' is float64"),
    "negative labels": ({"labels": LABELS - 1}, "labels range from -1 to 1; allowed: from 0 to 1"),
    "unnamed label": ({"labels": LABELS + 1}, "labels range from 0 to 2; allowed: from 0 to 1"),
    "huge label": ({"labels": LABELS * 10**12, "classes": None}, "labels range from 0 to 1000000000000; allowed"),
    "one class": (
        {"classes": np.array(["cat"]), "labels": LABELS * 0, "train_labels": LABELS * 0},
        r"one class \(cat\)",
    ),
    "one name twice": ({"classes": np.array(["cat", "cat"])}, "names the class 'cat' twice"),
    "names in bytes": ({"classes": np.array([b"cat", b"dog"])}, "'classes' is |S3"),
    "two sizes": ({"train_images": IMAGES[:, :8]}, r"'train_images' has the shape .* images of one size"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_arrays_that_are_refused(path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        opened(write_npz(path, **changes)).load("test")
    assert "pets.npz" in str(caught.value)


def test_a_context_that_leaves_no_window_is_refused(path):
    with pytest.raises(InputError, match=r"context is 8; allowed: less than half of 16"):
        opened(write_npz(path), context=8).load("test")


def header(shape, dtype="|u1"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def write_members(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def labels_of(count):
    return header((count,)) + bytes(index % 2 for index in range(count))


@pytest.mark.parametrize("honest", [False, True], ids=["wrong header", "zip bomb"])
def test_two_gigabytes_are_refused_before_memory_is_allocated(path, honest):
    count = 2000
    content = header((count, 1024, 1024, 1)) + (bytes(2**20) if honest else b"")
    write_members(path, images=content, labels=labels_of(count))
    if honest:
        _claim(path, len(header((count, 1024, 1024, 1))) + count * 2**20)
    tracemalloc.start()
    with pytest.raises(InputError, match="take 2.0 GiB; allowed: at most 1 GiB" if honest else "but the file has 0"):
        opened(path).load("test")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    if honest:
        with pytest.raises(InputError, match="decompresses to fewer bytes than the file states"):
            opened(path).load("test", limit=4)


def _claim(path, size, crc=None):
    """Rewrite the size of the first member in the zip file."""
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    for place, offset in ((0, 14), (central, 16)):
        if crc is not None:
            content[place + offset : place + offset + 4] = crc.to_bytes(4, "little")
        content[place + offset + 8 : place + offset + 12] = size.to_bytes(4, "little")
    path.write_bytes(bytes(content))


def test_a_member_larger_than_stated_is_refused(path):
    content = header((8, 64, 64, 1)) + bytes(8 * 64 * 64)
    write_members(path, images=content + bytes(10**6), labels=labels_of(8))
    # The checksum matches, so that only the size is wrong.
    _claim(path, len(content), zlib.crc32(content + b"\0"))
    with pytest.raises(InputError, match="decompresses to more bytes than the file states"):
        opened(path).load("test")


@pytest.mark.parametrize("shape", [(-8, -4, 4, 1), (8, 4, 4, 2**70)])
def test_impossible_shapes_are_refused(path, shape):
    write_members(path, images=header(shape) + bytes(128), labels=labels_of(8))
    with pytest.raises(InputError, match=r"pets\.npz"):
        opened(path).load("test")


@pytest.mark.parametrize("cut", [0, 10, 100, 2000, -30])
def test_truncated_files_are_refused(path, cut):
    write_npz(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"pets\.npz is not a file written by np\.savez"):
        opened(path).load("test")


def test_changed_bytes_are_detected(path):
    write_npz(path)
    content = bytearray(path.read_bytes())
    content[400] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError, match="CRC"):
        opened(path).load("test")


def test_missing_file(path):
    with pytest.raises(InputError, match=r"npz:.*pets\.npz: not a file"):
        opened(path)


def test_the_length_of_a_header_is_checked_before_it_is_read(path):
    content = b"\x93NUMPY\x02\x00" + (2**26).to_bytes(4, "little") + b" " * 2**26
    write_members(path, images=content, labels=labels_of(8))
    tracemalloc.start()
    with pytest.raises(InputError, match="has a header of 67,108,864 bytes; allowed: up to 10,000"):
        opened(path).load("test")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
