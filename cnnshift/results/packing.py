"""Numeric arrays in a JSON file: compressed, in base64, with a size limit on reading."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import Annotated, Literal

import numpy as np
import pydantic

MAX_BYTES = 64 * 2**20
"""Size limit of one array, uncompressed."""


class PackedArray(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A numeric array, little-endian and in C order, compressed by zlib and encoded in base64."""

    dtype: Literal["<f4", "<i4", "|u1"]
    shape: Annotated[tuple[pydantic.NonNegativeInt, ...], pydantic.Field(max_length=4)]
    data: str

    @property
    def nbytes(self) -> int:
        """Uncompressed size in bytes according to shape and dtype."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def pack(array: np.ndarray) -> PackedArray:
    """Compress an array as 32-bit floats or integers, or as bytes if it has only 0 and 1, or integers from 0 to 255."""
    if np.issubdtype(array.dtype, np.floating):
        dtype = "|u1" if np.isin(array, (0, 1)).all() else "<f4"
    else:
        dtype = "|u1" if not array.size or (array.min() >= 0 and array.max() <= 255) else "<i4"
    data = zlib.compress(np.ascontiguousarray(array, dtype=dtype).tobytes(), 9)
    return PackedArray(dtype=dtype, shape=array.shape, data=base64.b64encode(data).decode())


def unpack(packed: PackedArray) -> np.ndarray:
    """Decompress an array; its dtype is the stored one.

    Raises:
        ValueError: The array is larger than `MAX_BYTES`, its data is damaged, or its size does not match its shape.
    """
    size = packed.nbytes
    if size > MAX_BYTES:
        raise ValueError(f"a packed array has {size:,} bytes; it must have at most {MAX_BYTES:,}")
    try:
        inflate = zlib.decompressobj()
        # One byte more than the shape allows reveals a longer stream without decompressing it.
        content = inflate.decompress(base64.b64decode(packed.data, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a packed array is damaged: {error}") from None
    if len(content) != size or not inflate.eof:
        raise ValueError(f"the data of a packed array does not have the {size:,} bytes of its shape")
    return np.frombuffer(content, packed.dtype).reshape(packed.shape)
