"""Files of records as TensorFlow writes them (`tfrecord`): a length, its checksum, the bytes, their checksum."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from cnnshift.errors import InputError

_LENGTH = struct.Struct("<Q")
_CHECKSUM = 4


def read_records(path: Path, first: int, count: int) -> Iterator[bytes]:
    """Some records of a file, in order; the others are skipped unread.

    Lengths are checked against the size of the file; checksums, which only say that a disk is failing, are not.

    Args:
        path: the file.
        first: number of records to skip.
        count: number of records wanted.

    Raises:
        InputError: the file cannot be read, ends early, or claims a record that does not fit into it.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for index in range(first + count):
                head = file.read(_LENGTH.size + _CHECKSUM)
                if len(head) < _LENGTH.size + _CHECKSUM:
                    raise InputError(f"{path} ends after {index} records; {first + count} are wanted of it.")
                (length,) = _LENGTH.unpack_from(head)
                if file.tell() + length + _CHECKSUM > size:
                    raise InputError(f"{path} is damaged: record {index} claims {length:,} bytes of {size:,}.")
                if index < first:
                    file.seek(length + _CHECKSUM, 1)
                    continue
                yield file.read(length)
                file.seek(_CHECKSUM, 1)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
