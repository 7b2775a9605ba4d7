"""Arrays in a zip file: what a header claims is checked before memory is asked for, and nothing is ever unpickled."""

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
# Of every version: how many bytes tell the length of a header, and what reads it.
_HEADERS = {(1, 0): (2, np.lib.format.read_array_header_1_0), (2, 0): (4, np.lib.format.read_array_header_2_0)}
_LONGEST_HEADER = 10_000
"""As numpy allows by default; it reads what is claimed first."""


@dataclass(frozen=True, slots=True)
class Member:
    """One array of a zip file, as its header claims it to be.

    Attributes:
        name: of the array.
        shape: lengths of its axes.
        dtype: type of its elements.
        columns_first: whether it is stored in Fortran's order.
        start: bytes before its elements.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    columns_first: bool
    start: int

    @property
    def claimed_bytes(self) -> int:
        """Length of the elements in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def find_member(archive: zipfile.ZipFile, name: str) -> Member | None:
    """The header of an array; nothing if there is no such array.

    Raises:
        InputError: it is no array of numbers or text, or the file claims another length than the header.
    """
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"'{name}' is compressed by a method that numpy does not write; allowed: np.savez.")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise InputError(f"'{name}' is an array of format {version}; allowed: {', '.join(map(str, _HEADERS))}.")
        digits, read_header = _HEADERS[version]
        told = file.read(digits)
        if (length := int.from_bytes(told, "little")) > _LONGEST_HEADER:
            raise InputError(f"'{name}' claims a header of {length:,} bytes; allowed: up to {_LONGEST_HEADER:,}.")
        shape, columns_first, dtype = read_header(io.BytesIO(told + file.read(length)))
        member = Member(name, shape, dtype, columns_first, file.tell())
    if dtype.hasobject or dtype.names or not dtype.itemsize or min(shape, default=0) < 0:
        raise InputError(
            f"'{name}' holds {dtype} of shape {shape}; allowed: numbers, or text. Pickled objects are never read."
        )
    if info.file_size != member.start + member.claimed_bytes:
        raise InputError(
            f"'{name}' claims {member.claimed_bytes:,} bytes ({dtype}, {shape}), but the file holds "
            f"{info.file_size - member.start:,} for it."
        )
    return member


def read_rows(
    archive: zipfile.ZipFile, member: Member, chosen: Int[np.ndarray, " m"], into: np.dtype
) -> Shaped[np.ndarray, "m ..."]:
    """Some rows of an array, in order; no more of it is kept than they and a few megabytes.

    An array in Fortran's order has no rows one after the other, and is read as a whole.

    Args:
        archive: the zip file.
        member: an array of it with one axis at least.
        chosen: the rows, ascending.
        into: the type to convert them to.

    Raises:
        InputError: the zip file inflates to fewer or more bytes than it says.
    """
    info = copy.copy(archive.getinfo(f"{member.name}.npy"))
    # One byte more than claimed, so that a longer stream shows without being inflated.
    info.file_size += 1
    rows = np.empty((len(chosen), *member.shape[1:]), into)
    with archive.open(info) as file:
        _take(file, member.start, member)
        if member.columns_first:
            whole = np.frombuffer(_take(file, member.claimed_bytes, member), member.dtype)
            rows[:] = whole.reshape(member.shape[::-1]).T[chosen]
        else:
            _copy_rows(file, member, chosen, rows)
        if file.read(1):
            raise InputError(f"'{member.name}' inflates to more bytes than the file says.")
    return rows


def _copy_rows(file: Any, member: Member, chosen: np.ndarray, rows: np.ndarray) -> None:
    length = math.prod(member.shape[1:]) * member.dtype.itemsize
    at_once = max(1, _CHUNK // max(1, length))
    for start in range(0, member.shape[0], at_once):
        count = min(at_once, member.shape[0] - start)
        block = np.frombuffer(_take(file, count * length, member), member.dtype).reshape(count, *member.shape[1:])
        first, last = np.searchsorted(chosen, (start, start + count))
        rows[first:last] = block[chosen[first:last] - start]


def _take(file: Any, length: int, member: Member) -> bytearray:
    taken = bytearray(length)
    place = memoryview(taken)
    while place:
        # In parts: a zip file asked for all at once makes a second copy of it.
        part = file.read(min(len(place), _CHUNK))
        if not part:
            raise InputError(f"'{member.name}' inflates to fewer bytes than the file says.")
        place[: len(part)] = part
        place = place[len(part) :]
    return taken
