"""Result files: exact round trips, atomic writes, and damaged input."""

import base64
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnshift.errors import InputError, SaveError
from cnnshift.results import files
from cnnshift.results.packing import MAX_BYTES, PackedArray, pack, unpack
from cnnshift.results.schema import MetricResult, Result

EMPTY = Result(
    status="complete",
    created="2026-01-01T00:00:00+00:00",
    cnnshift_version="0",
    config={},
    environment={},
    runs=[],
)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=2), elements=st.floats(width=32)))
def test_floats_survive_packing_bit_by_bit(array):
    np.testing.assert_array_equal(unpack(pack(array)), array)


def test_zeros_and_ones_are_packed_as_bytes():
    packed = pack(np.array([0.0, 1.0, 1.0]))
    assert packed.dtype == "|u1"
    np.testing.assert_array_equal(unpack(packed), [0, 1, 1])


def compressed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        ({"shape": (2**40, 2**40), "data": ""}, f"at most {MAX_BYTES:,}"),
        ({"shape": (2,), "data": "?"}, "damaged"),
        ({"shape": (2,), "data": base64.b64encode(b"not zlib").decode()}, "damaged"),
        ({"shape": (2,), "data": compressed(b"\0" * 7)}, "does not hold the 8 bytes"),
        ({"shape": (2,), "data": compressed(b"\0" * 10_000_000)}, "does not hold the 8 bytes"),
        ({"shape": (2,), "data": compressed(b"\0" * 8)[:-8]}, "damaged|does not hold"),
    ],
)
def test_packed_arrays_that_lie_are_refused(packed, words):
    with pytest.raises(ValueError, match=words):
        PackedArray(dtype="<f4", **packed)


def test_a_result_survives_its_file(tmp_path):
    path = tmp_path / "r.json"
    files.save_result(EMPTY, path)
    assert files.load_result(path) == EMPTY
    document = json.loads(path.read_text())
    assert document["schema"] == "cnnshift.result"
    assert document["schema_version"] == 1


def test_last_is_in_the_cache(cache):
    files.save_result(EMPTY, files.last_path())
    assert files.load_result("last") == EMPTY
    assert cache in files.last_path().parents
    files.last_path().unlink()
    with pytest.raises(InputError, match="No result file last"):
        files.load_result("last")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"schema": "other"}',
        json.dumps(json.loads(files.to_json(EMPTY)) | {"schema_version": 2}).encode(),
        json.dumps(json.loads(files.to_json(EMPTY)) | {"extra": 1}).encode(),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"r\.json is not a cnnshift\.result file") as caught:
        files.load_result(path)
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.write_text("old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SaveError, match="No space left"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["r.json"]


@pytest.mark.parametrize("path", ["missing/r.json", "."])
def test_unwritable_places_are_found_before(tmp_path, path):
    with pytest.raises(InputError, match="Cannot write"):
        files.check_writable(tmp_path / path)


def test_results_have_ordinary_permissions(tmp_path):
    path = tmp_path / "r.json"
    files.write_text(path, "x")
    other = Path(tmp_path / "other")
    other.write_text("x")
    assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    fields = {
        "id": "x",
        "version": 1,
        "title": "x",
        "ci95": None,
        "unit": "",
        "bounds": None,
        "higher_is_better": True,
        "n": 1,
    }
    with pytest.raises(ValueError, match="finite"):
        MetricResult(value=value, **fields)


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(InputError, match="not a regular file"):
            files.check_writable(path)
    with pytest.raises(InputError, match="Cannot write"):
        files.check_writable(tmp_path / ("x" * 300))


def test_a_link_is_followed(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
