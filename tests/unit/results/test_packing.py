"""Packed arrays: exact round trips, and arrays that contradict their shape."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnshift.results.packing import MAX_BYTES, PackedArray, pack, unpack


def compress(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=2), elements=st.floats(width=32)))
def test_packing_keeps_every_bit_of_32_bit_floats(array):
    np.testing.assert_array_equal(unpack(pack(array)), array)


def test_zeros_and_ones_are_packed_as_bytes():
    packed = pack(np.array([0.0, 1.0, 1.0]))
    assert packed.dtype == "|u1"
    np.testing.assert_array_equal(unpack(packed), [0, 1, 1])


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        ({"shape": (2**40, 2**40), "data": ""}, f"at most {MAX_BYTES:,}"),
        ({"shape": (2,), "data": "?"}, "damaged"),
        ({"shape": (2,), "data": base64.b64encode(b"not zlib").decode()}, "damaged"),
        ({"shape": (2,), "data": compress(b"\0" * 7)}, "does not have the 8 bytes"),
        ({"shape": (2,), "data": compress(b"\0" * 10_000_000)}, "does not have the 8 bytes"),
        ({"shape": (2,), "data": compress(b"\0" * 8)[:-8]}, "damaged|does not have"),
    ],
)
def test_arrays_that_contradict_their_shape_are_refused(packed, message):
    with pytest.raises(ValueError, match=message):
        unpack(PackedArray(dtype="<f4", **packed))
