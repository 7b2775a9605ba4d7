"""Arrays in a JSON file: typed, compressed, base64; bounded when read."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import Annotated, Literal

import numpy as np
import pydantic

MAX_BYTES = 64 * 2**20


class PackedArray(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One numeric array.

    Attributes:
        dtype: little-endian type of the elements.
        shape: lengths of the axes.
        data: zlib-compressed bytes in C order, in base64.
    """

    dtype: Literal["<f4", "<i4", "|u1"]
    shape: Annotated[tuple[pydantic.NonNegativeInt, ...], pydantic.Field(max_length=4)]
    data: str

    @property
    def claimed_bytes(self) -> int:
        """Length of the array's bytes, as far as its shape says."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def pack(array: np.ndarray) -> PackedArray:
    """Pack an array: 0/1 values and small counts as bytes, other integers as 32 bits, floats as 32 bits."""
    if np.issubdtype(array.dtype, np.floating):
        dtype = "|u1" if np.isin(array, (0, 1)).all() else "<f4"
    else:
        dtype = "|u1" if not array.size or (array.min() >= 0 and array.max() <= 255) else "<i4"
    data = zlib.compress(np.ascontiguousarray(array, dtype=dtype).tobytes(), 9)
    return PackedArray(dtype=dtype, shape=array.shape, data=base64.b64encode(data).decode())


def unpack(packed: PackedArray) -> np.ndarray:
    """The array, in its stored type.

    Raises:
        ValueError: it claims more than `MAX_BYTES`, or its bytes are damaged or not of the claimed number.
    """
    size = packed.claimed_bytes
    if size > MAX_BYTES:
        raise ValueError(f"a packed array claims {size:,} bytes; allowed: at most {MAX_BYTES:,}")
    try:
        inflate = zlib.decompressobj()
        # One byte more than claimed, so that a longer stream shows without being inflated.
        content = inflate.decompress(base64.b64decode(packed.data, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a packed array is damaged: {error}") from None
    if len(content) != size or not inflate.eof:
        raise ValueError(f"a packed array does not hold the {size:,} bytes that it claims")
    return np.frombuffer(content, packed.dtype).reshape(packed.shape)
