"""The reader of weight files of PyTorch: round trips, and refusal of hostile and damaged files."""

import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from cnnshift.errors import InputError
from cnnshift.loaders import torch_weights
from cnnshift.loaders.torch_weights import read_torch_weights

TENSORS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a.bias": np.array([1.5, -2], np.float32),
    "count": np.array(7, np.int64),
}
KINDS = {"<f4": "FloatStorage", "<i8": "LongStorage"}


class Name:
    """An object that is pickled as a global name, of a module that need not exist."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Tensor:
    def __init__(self, kind, key, numbers, offset, shape, strides):
        self.storage, self.rest = (kind, key, numbers), (offset, shape, strides)


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class Built:
    def __init__(self, inner, state):
        self.inner, self.state = inner, state


class Writer(pickle._Pickler):
    """A pickler of the objects in files of PyTorch."""

    dispatch = pickle._Pickler.dispatch.copy()

    def __init__(self, file, view=(None,)):
        super().__init__(file, protocol=2)
        self.view = view

    def persistent_id(self, obj):
        if isinstance(obj, tuple) and obj[:1] == ("<storage>",):
            _, kind, key, numbers = obj
            return ("storage", Name("torch", kind), key, "cpu", numbers, *self.view)
        return None

    def save_name(self, obj):
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_tensor(self, obj):
        self.save(Name("torch._utils", "_rebuild_tensor_v2"))
        self.save((("<storage>", *obj.storage), *obj.rest, False, OrderedDict()))
        self.write(pickle.REDUCE)
        self.memoize(obj)

    def save_call(self, obj):
        self.save(obj.function)
        self.save(obj.arguments)
        self.write(pickle.REDUCE)
        self.memoize(obj)

    def save_built(self, obj):
        self.save(obj.inner)
        self.save(obj.state)
        self.write(pickle.BUILD)

    dispatch[Name], dispatch[Tensor], dispatch[Call], dispatch[Built] = save_name, save_tensor, save_call, save_built


def pickled(obj, view=(None,)):
    stream = io.BytesIO()
    Writer(stream, view).dump(obj)
    return stream.getvalue()


def strides_of(array):
    return tuple(step // array.itemsize for step in array.strides)


def described(tensors):
    return OrderedDict(
        (name, Tensor(KINDS[each.dtype.str], str(key), each.size, 0, each.shape, strides_of(each)))
        for key, (name, each) in enumerate(tensors.items())
    )


def legacy(described, storages, keys=None, tail=b""):
    """Return a file in the format before PyTorch 1.6."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    keys = [str(key) for key in range(len(storages))] if keys is None else keys
    head = [pickle.dumps(part, 2) for part in (torch_weights._MAGIC, 1001, machine)]
    body = [struct.pack("<q", each.size) + each.tobytes() for each in storages]
    return b"".join([*head, pickled(described), pickle.dumps(keys, 2), *body, tail])


@pytest.fixture
def read(tmp_path):
    def reading(content):
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        return read_torch_weights(path)

    return reading


GOOD = legacy(described(TENSORS), TENSORS.values())


def test_round_trip(read):
    found = read(GOOD)
    assert list(found) == list(TENSORS)
    for name, each in TENSORS.items():
        assert found[name].dtype == each.dtype and np.array_equal(found[name], each) and found[name].flags.owndata


def test_overlapping_views_of_a_storage(read):
    numbers = np.arange(6, dtype=np.float32)
    views = {
        "whole": Tensor("FloatStorage", "0", 6, 0, (2, 3), (3, 1)),
        "turned": Tensor("FloatStorage", "0", 6, 1, (2, 2), (1, 3)),
    }
    found = read(legacy(OrderedDict(views), [numbers]))
    assert np.array_equal(found["whole"], numbers.reshape(2, 3))
    assert np.array_equal(found["turned"], [[1, 4], [2, 5]])


def test_metadata_of_a_state_dict_is_ignored(read):
    tensors = described(TENSORS)
    tensors._metadata = OrderedDict(version=1)
    assert set(read(legacy(tensors, TENSORS.values()))) == set(TENSORS)


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("posix", "system"), ("torch", "load"), ("collections", "namedtuple")],
)
def test_other_globals_are_refused_and_not_called(read, tmp_path, monkeypatch, module, name):
    monkeypatch.chdir(tmp_path)
    command = "__import__('os').mkdir('run')" if name == "eval" else "mkdir run"
    with pytest.raises(InputError, match=rf"it names {module}\.{name}, which is not allowed"):
        read(legacy(OrderedDict(a=Call(Name(module, name), command)), []))
    assert os.listdir(tmp_path) == ["weights.pth"]


def test_first_pickle_is_restricted(read):
    with pytest.raises(InputError, match=r"it names os\.system, which is not allowed"):
        read(pickled(Call(Name("os", "system"), "mkdir run")))


def test_truncated_files_are_refused(read):
    for end in range(len(GOOD)):
        with pytest.raises(InputError, match="cannot be read as weights of PyTorch"):
            read(GOOD[:end])


def test_trailing_bytes_are_refused(read):
    with pytest.raises(InputError, match="it has bytes after the last storage"):
        read(GOOD + b"\0")


def test_flipped_bits_do_not_enlarge_the_tensors(read):
    rng = np.random.default_rng(0)
    for _ in range(400):
        flipped = bytearray(GOOD)
        flipped[rng.integers(len(GOOD))] ^= 1 << rng.integers(8)
        try:
            found = read(bytes(flipped))
        except InputError:
            continue
        assert sum(each.nbytes for each in found.values()) <= 10_000


def one(storage, view, **changes):
    return legacy(OrderedDict(a=Tensor(*storage, *view)), [np.zeros(4, np.float32)], **changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (one(("FloatStorage", "0", 2**29), (0, (2**29,), (1,))), "claim 2,147,483,648 bytes"),
        (one(("FloatStorage", "0", 2**40), (0, (1,), (1,))), "disagree on its length"),
        (one(("FloatStorage", "0", 4), (0, (2**15, 2**15), (0, 0))), "claim 4,294,967,296 bytes"),
        (one(("FloatStorage", "0", 4), (2, (3,), (1,))), "exceeds its storage of 4 numbers"),
        (one(("FloatStorage", "0", 4), (-1, (3,), (1,))), "without a valid position"),
        (one(("FloatStorage", "0", 4), (3, (3,), (-1,))), "without a valid position"),
        (one(("FloatStorage", "0", 4), (0, (3,), (1, 1))), "without a valid position"),
        (one(("FloatStorage", "0", -4), (0, (3,), (1,))), "a storage claims -4 numbers"),
        (one(("FloatStorage", "0", 4), (0, (4,), (1,)), keys=["1"]), "storages are not those of its tensors"),
        (one(("FloatStorage", "0", 4), (0, (4,), (1,)), keys=["0", "0"]), "storages are not those of its tensors"),
        (one(("ComplexFloatStorage", "0", 4), (0, (4,), (1,))), r"names torch\.ComplexFloatStorage"),
        (legacy(OrderedDict(a=1), []), "entries that are not named tensors"),
        (legacy([1], []), "entries that are not named tensors"),
        (legacy(OrderedDict(a=Name("torch", "FloatStorage")), []), "entries that are not named tensors"),
        (b"PK\3\4 and no more", "cannot be read as weights"),
        (b"", "cannot be read as weights"),
        (pickle.dumps(torch_weights._MAGIC + 1, 2), "another format"),
        # A memo index for which the unpickler in C would allocate 16 GiB.
        (pickle.PROTO + b"\2" + pickle.EMPTY_DICT + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f.", "another format"),
        (pickle.PROTO + b"\4" + pickle.BINUNICODE8 + struct.pack("<Q", 2**40) + b"a.", "cannot be read as weights"),
        (pickle.dumps(object, 4), r"names builtins\.object"),
    ],
    ids=lambda value: "file" if isinstance(value, bytes) else None,
)
def test_invalid_files_are_refused(read, content, message):
    with pytest.raises(InputError, match=message):
        read(content)


@pytest.mark.parametrize(
    "state", [{"offset": 2**40}, (None, {"offset": 2**40}), (1, 2, 3)], ids=["dict", "slots", "tuple"]
)
def test_build_opcode_cannot_change_a_tensor(read, state):
    """The opcode BUILD sets attributes of an object; it must not move a tensor out of its storage."""
    tensor = Tensor("FloatStorage", "0", 4, 0, (4,), (1,))
    with pytest.raises(InputError, match=r"no attribute|can't set|not writable|unpack|read-only|dictionary"):
        read(legacy(OrderedDict(a=Built(tensor, state)), [np.zeros(4, np.float32)]))


def test_files_above_the_size_limit_are_refused(read, monkeypatch):
    monkeypatch.setattr(torch_weights, "MAX_BYTES", 100)
    with pytest.raises(InputError, match=r"has \d+ bytes; allowed: at most 100"):
        read(GOOD)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read as weights of PyTorch"):
        read_torch_weights(tmp_path / "none.pth")


def test_reads_files_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(each.copy()) for name, each in TENSORS.items()}
    tensors["turned"] = tensors["a.weight"].transpose(0, 2)
    torch.save(OrderedDict(tensors), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    found = read_torch_weights(tmp_path / "w.pth")
    assert set(found) == set(tensors)
    assert all(np.array_equal(found[name], each.numpy()) for name, each in tensors.items())
