"""tfrecord files, read without TensorFlow."""

import struct

import pytest

from cnnshift.data.tfds_directory import read_records
from cnnshift.errors import InputError


def test_records(tmp_path):
    path = tmp_path / "records"
    contents = [b"", b"one", b"two" * 100]
    frames = b"".join(struct.pack("<Q4x", len(content)) + content + bytes(4) for content in contents)
    path.write_bytes(frames)
    assert list(read_records(path, 0, 3)) == contents
    assert list(read_records(path, 1, 1)) == [b"one"]
    with pytest.raises(InputError, match="has 3 records; 4 are needed"):
        list(read_records(path, 0, 4))
    path.write_bytes(frames[:-5])
    with pytest.raises(InputError, match="damaged: record 2 has 300 bytes"):
        list(read_records(path, 0, 3))
    path.write_bytes(struct.pack("<Q4x", 2**60) + b"x")
    with pytest.raises(InputError, match="record 0 has 1,152,921,504,606,846,976 bytes, the file 13"):
        list(read_records(path, 0, 1))
