"""Weights that PyTorch saved (`.pth`), read without PyTorch and without running anything that the file asks for.

Such a file is a pickle, a program that may call whatever it names. Here it may name an ordered dict, the function that
makes a tensor, and the types of storages; any other name, and any opcode that such files do not need, is refused
before anything runs. Nothing is allocated for a number that the file only claims: storages must lie in the file.

The format is that of before PyTorch 1.6: five pickles (magic number, protocol, the writer's machine, the tensors, the
order of the storages) followed by the storages, each after its length.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from cnnshift.errors import InputError

MAX_BYTES = 2**30
"""Of a file, and of all its tensors together: views of one storage may overlap."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "DoubleStorage": "<f8",
        "FloatStorage": "<f4",
        "HalfStorage": "<f2",
        "LongStorage": "<i8",
        "IntStorage": "<i4",
        "ShortStorage": "<i2",
        "CharStorage": "|i1",
        "ByteStorage": "|u1",
        "BoolStorage": "|b1",
    }
)

_OPCODES = """
PROTO STOP MARK GLOBAL REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE
EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 SETITEM SETITEMS APPEND APPENDS
BINPUT LONG_BINPUT BINGET LONG_BINGET
"""


# Tuples, not dataclasses: a pickle may set the fields of these after their values were checked.
class _Storage(NamedTuple):
    """Numbers that a tensor is a view of: claimed, until they are read."""

    dtype: str
    key: str
    numbers: int


class _Tensor(NamedTuple):
    """A view of a storage: x[i, j, …] = numbers[offset + i · stride₀ + j · stride₁ + …]."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """A copy of what it sees of its storage.

        Raises:
            ValueError: it leaves the storage.
        """
        last = self.offset + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))
        if self.size and last >= len(numbers):
            raise ValueError(f"a tensor of shape {self.shape} leaves its storage of {len(numbers):,} numbers")
        step = numbers.itemsize
        strides = tuple(step * stride for stride in self.strides)
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False).copy()


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `.pth` file by name.

    Raises:
        InputError: the file is no such file, is cut off or damaged, or asks for anything but tensors.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes; allowed: at most {MAX_BYTES:,}")
        return _read(path.read_bytes())
    except Exception as error:  # damage surfaces as whatever the readers happen to raise
        raise InputError(f"{path} holds no weights that can be read: {str(error).rstrip('.')}.") from error


def _read(content: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(content)
    if _load(stream) != _MAGIC or _load(stream) != _PROTOCOL:
        raise ValueError("it is no file of PyTorch's")
    if _load(stream).get("little_endian") is not True:
        raise ValueError("it was written on a machine with another order of bytes")
    tensors, keys = _tensors(_load(stream)), _load(stream)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or len(set(keys)) != len(keys) or set(keys) != set(storages):
        raise ValueError("the storages are not those of the tensors")
    found = {}
    for key in keys:
        storage = storages[key]
        if int.from_bytes(_take(stream, 8), "little", signed=True) != storage.numbers:
            raise ValueError("a storage has another length than the tensors say")
        found[key] = _numbers(storage, _take(stream, storage.numbers * np.dtype(storage.dtype).itemsize))
    if stream.read(1):
        raise ValueError("something follows the last storage")
    return {name: tensor.view(found[tensor.storage.key]) for name, tensor in tensors.items()}


def _numbers(storage: _Storage, content: bytes) -> np.ndarray:
    numbers = np.frombuffer(content, storage.dtype)
    if len(numbers) != storage.numbers:
        raise ValueError("a storage has another length than the tensors say")
    return numbers


def _take(stream: io.BytesIO, count: int) -> bytes:
    if count > len(stream.getbuffer()) - stream.tell():
        raise ValueError("it is cut off")
    return stream.read(count)


def _tensors(loaded: Any) -> dict[str, _Tensor]:
    """What the pickle of the tensors holds, checked: names, tensors, and one claim per storage."""
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in loaded.items()
    ):
        raise ValueError("it holds something else than tensors with names")
    claims: dict[str, _Storage] = {}
    for tensor in loaded.values():
        if claims.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise ValueError("two tensors disagree on their storage")
    size = sum(tensor.size * np.dtype(tensor.storage.dtype).itemsize for tensor in loaded.values())
    if size > MAX_BYTES:
        raise ValueError(f"its tensors claim {size:,} bytes; allowed: at most {MAX_BYTES:,}")
    return dict(loaded)


def _load(stream: io.BytesIO) -> Any:
    """One pickle, from where the stream stands to its end."""
    start, puts, opcodes = stream.tell(), 0, frozenset(_OPCODES.split())
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name not in opcodes:
            raise ValueError(f"it uses the pickle opcode {opcode.name}, which weights do not need")
        if opcode.name.endswith("BINPUT"):
            # The unpickler's memo is as long as the largest index: a number that is only claimed.
            puts += 1
            if argument is None or argument >= puts:
                raise ValueError("its pickle numbers its objects with gaps")
    return _Restricted(io.BytesIO(stream.getbuffer()[start : stream.tell()])).load()


class _Restricted(pickle.Unpickler):
    """An unpickler that knows three kinds of names."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for; a new object at every call, so that no pickle can change what the next one finds."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):

            def rebuild(*arguments: Any) -> _Tensor:
                return _rebuilt(*arguments)

            return rebuild
        if module == "torch" and name in _TYPES:
            return _Storage(_TYPES[name], "", 0)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which weights do not need; nothing was run")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage, from ("storage", type, key, device, length) and in the legacy format None: no view."""
        kind, marker, key, _, count, *view = pid
        if kind != "storage" or not isinstance(marker, _Storage) or view not in ([], [None]):
            raise ValueError("it holds something else than tensors with names")
        if not isinstance(key, str) or not _is_count(count):
            raise ValueError(f"a storage claims {count!r} numbers")
        return _Storage(marker.dtype, key, count)


def _rebuilt(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    """A tensor as PyTorch's function of that name takes it; whether it needs a gradient is of no interest."""
    fits = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= 8
    if not (isinstance(storage, _Storage) and storage.key and fits and all(map(_is_count, (offset, *shape, *strides)))):
        raise ValueError("it holds a tensor without a place in a storage")
    return _Tensor(storage, offset, shape, strides)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48
