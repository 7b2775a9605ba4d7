"""Checked array files: only intact content is read, and nothing in a file is ever executed."""

import hashlib
import io
import os

import numpy as np
import pytest

from cnnshift.data.image_cache import read_array, write_array
from cnnshift.errors import SaveError

ARRAY = np.arange(60, dtype=np.uint8).reshape(12, 5)
DIGEST = hashlib.sha256(ARRAY).hexdigest()


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def path(tmp_path):
    write_array(tmp_path / "array.npy", ARRAY)
    return tmp_path / "array.npy"


def test_reads_what_was_written(path):
    assert np.array_equal(read_array(path, DIGEST), ARRAY)
    assert np.array_equal(np.load(path, allow_pickle=False), ARRAY)
    assert os.listdir(path.parent) == ["array.npy"]


def test_missing_file(tmp_path):
    assert read_array(tmp_path / "none.npy", DIGEST) is None


def test_every_flipped_byte_is_noticed_or_harmless(path):
    content = path.read_bytes()
    for index in range(len(content)):
        damaged = bytearray(content)
        damaged[index] ^= 0xFF
        path.write_bytes(damaged)
        array = read_array(path, DIGEST)
        assert array is None or np.array_equal(array, ARRAY), index


def test_every_truncation_is_noticed(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert read_array(path, DIGEST) is None, length


@pytest.mark.parametrize(
    "other", [ARRAY + 1, ARRAY.astype(np.int8), ARRAY.ravel(), np.asfortranarray(ARRAY[::-1]), np.float32(1)], ids=str
)
def test_other_arrays_are_refused(path, other):
    np.save(path, other)
    assert read_array(path, DIGEST) is None


def test_an_archive_is_refused(path):
    np.savez(path.with_suffix(".npz"), ARRAY)
    os.replace(path.with_suffix(".npz"), path)
    assert read_array(path, DIGEST) is None


def test_a_pickle_is_not_executed(path, tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.save(path, trap, allow_pickle=True)
    assert read_array(path, DIGEST) is None
    assert not (tmp_path / "sprung").exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(SaveError, match="no space"):
        write_array(path, ARRAY + 1)
    assert os.listdir(path.parent) == ["array.npy"]
    assert np.array_equal(read_array(path, DIGEST), ARRAY)


def test_files_are_as_readable_as_any_other(path, tmp_path):
    """A cache may be shared: its files must not be private as temporary files are."""
    (tmp_path / "plain").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_content_is_a_plain_npy_file(path):
    plain = io.BytesIO()
    np.save(plain, ARRAY)
    assert path.read_bytes() == plain.getvalue()
