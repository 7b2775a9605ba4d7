"""Arrays in a zip file: sizes in headers are verified before memory is allocated, and nothing is unpickled."""

from __future__ import annotations

import copy
import io
import math
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from cnnshift.errors import InputError

_CHUNK = 2**22
# Per format version: bytes of the header's length field, and the function that reads the header.
_VERSIONS = {(1, 0): (2, np.lib.format.read_array_header_1_0), (2, 0): (4, np.lib.format.read_array_header_2_0)}
_MAX_HEADER = 10_000
"""NumPy's default limit, which it checks only after reading the header."""


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """The header of an array in a zip file; `start` is the number of bytes before its elements."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    start: int

    @property
    def nbytes(self) -> int:
        """Size of the elements in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(archive: zipfile.ZipFile, name: str) -> ArrayHeader | None:
    """Read the header of an array; None if there is no such array.

    Raises:
        InputError: it is not an array of numbers or text, or the file's size contradicts the header.
    """
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"'{name}' has a compression method that NumPy does not write; allowed: np.savez.")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in _VERSIONS:
            raise InputError(f"'{name}' is an array of format {version}; allowed: {', '.join(map(str, _VERSIONS))}.")
        digits, parse = _VERSIONS[version]
        length_field = file.read(digits)
        if (length := int.from_bytes(length_field, "little")) > _MAX_HEADER:
            raise InputError(f"'{name}' has a header of {length:,} bytes; allowed: up to {_MAX_HEADER:,}.")
        shape, fortran_order, dtype = parse(io.BytesIO(length_field + file.read(length)))
        header = ArrayHeader(name, shape, dtype, fortran_order, file.tell())
    if dtype.hasobject or dtype.names or not dtype.itemsize or min(shape, default=0) < 0:
        raise InputError(
            f"'{name}' is {dtype} of shape {shape}; allowed: numbers, or text. Pickled objects are never read."
        )
    if info.file_size != header.start + header.nbytes:
        raise InputError(
            f"'{name}' needs {header.nbytes:,} bytes ({dtype}, {shape}), but the file has "
            f"{info.file_size - header.start:,}."
        )
    return header


def read_rows(
    archive: zipfile.ZipFile, header: ArrayHeader, indices: Int[np.ndarray, " m"], dtype: np.dtype
) -> Shaped[np.ndarray, "m ..."]:
    """Read the rows with these ascending indices in chunks, so that memory holds little more than these rows.

    The rows of an array in Fortran order are not contiguous; it is read as a whole.

    Raises:
        InputError: the decompressed size differs from the size in the zip file.
    """
    info = copy.copy(archive.getinfo(f"{header.name}.npy"))
    # One byte more than stated, to detect a longer stream without decompressing all of it.
    info.file_size += 1
    rows = np.empty((len(indices), *header.shape[1:]), dtype)
    with archive.open(info) as file:
        _read_exactly(file, header.start, header)
        if header.fortran_order:
            array = np.frombuffer(_read_exactly(file, header.nbytes, header), header.dtype)
            rows[:] = array.reshape(header.shape[::-1]).T[indices]
        else:
            _copy_rows(file, header, indices, rows)
        if file.read(1):
            raise InputError(f"'{header.name}' decompresses to more bytes than the file states.")
    return rows


def _copy_rows(file: Any, header: ArrayHeader, indices: np.ndarray, rows: np.ndarray) -> None:
    row_bytes = math.prod(header.shape[1:]) * header.dtype.itemsize
    chunk = max(1, _CHUNK // max(1, row_bytes))
    for start in range(0, header.shape[0], chunk):
        count = min(chunk, header.shape[0] - start)
        content = _read_exactly(file, count * row_bytes, header)
        block = np.frombuffer(content, header.dtype).reshape(count, *header.shape[1:])
        first, last = np.searchsorted(indices, (start, start + count))
        rows[first:last] = block[indices[first:last] - start]


def _read_exactly(file: Any, length: int, header: ArrayHeader) -> bytearray:
    content = bytearray(length)
    remaining = memoryview(content)
    while remaining:
        # In chunks: reading a zip member at once would hold a second copy of it.
        chunk = file.read(min(len(remaining), _CHUNK))
        if not chunk:
            raise InputError(f"'{header.name}' decompresses to fewer bytes than the file states.")
        remaining[: len(chunk)] = chunk
        remaining = remaining[len(chunk) :]
    return content
