"""Observation files: exact round trips, damaged content, and atomic writes."""

import dataclasses

import numpy as np
import pytest

from cnnshift.errors import InputError, SaveError
from cnnshift.results.observations_file import load_observations, write_observations
from tests.simulated_observations import run

TABLE = run("axis", images=3)[1]


@pytest.fixture
def path(tmp_path):
    write_observations(tmp_path / "o.npz", "first", TABLE, fresh=True)
    return tmp_path / "o.npz"


def is_equal(loaded, table):
    pairs = [(getattr(loaded, field.name), getattr(table, field.name)) for field in dataclasses.fields(table)]
    return all(a is b is None or (a is not None and np.array_equal(a, b)) for a, b in pairs)


def test_observations_are_read_as_they_were_written(path):
    absent = dataclasses.replace(TABLE, cosine=None, neighbours=None, stride=None)
    write_observations(path, "second", absent, fresh=False)
    loaded = load_observations(path)
    assert list(loaded) == ["first", "second"]
    assert is_equal(loaded["first"], TABLE)
    assert is_equal(loaded["second"], absent)


def test_a_run_is_written_once_and_a_fresh_file_starts_empty(path):
    write_observations(path, "first", dataclasses.replace(TABLE, cosine=None), fresh=False)
    assert is_equal(load_observations(path)["first"], TABLE)
    write_observations(path, "other", TABLE, fresh=True)
    assert list(load_observations(path)) == ["other"]


def test_damage_is_one_sentence(path):
    content, messages = path.read_bytes(), []
    for index in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[index] ^= 0xFF
        path.write_bytes(damaged)
        try:
            load_observations(path)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a file of observations"):
        load_observations(path)


def test_other_arrays_are_refused(path):
    np.savez(path, a=np.zeros(3))
    with pytest.raises(InputError, match="is not a file of observations"):
        load_observations(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="is not a file of observations"):
        load_observations(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"Cannot read .*none\.npz: No such file"):
        load_observations(tmp_path / "none.npz")


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left on device")

    content = path.read_bytes()
    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(SaveError, match=r"Cannot write .*o\.npz: no space left"):
        write_observations(path, "second", TABLE, fresh=False)
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["o.npz"]
