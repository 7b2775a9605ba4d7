"""Result files: exact round trips, atomic writes, and damaged input."""

import base64
import json
import time
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnshift.errors import InputError
from cnnshift.results import files
from cnnshift.results.migration import STEPS
from cnnshift.results.packing import MAX_BYTES, PackedArray, pack, unpack
from cnnshift.results.schema import SCHEMA_VERSION, MetricResult, PhaseTable, Result, ShiftTable, schema_text
from cnnshift.results.validation import MAX_TOTAL_BYTES
from tests.factories import make_result, make_run

DATA = Path(__file__).parents[2] / "data"
OLD = DATA / "result-version-1.json"

EMPTY = Result(
    status="complete",
    created="2026-01-01T00:00:00+00:00",
    cnnshift_version="0",
    config={},
    environment={},
    runs=[],
)


def compressed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=2), elements=st.floats(width=32)))
def test_floats_survive_packing_bit_by_bit(array):
    np.testing.assert_array_equal(unpack(pack(array)), array)


def test_zeros_and_ones_are_packed_as_bytes():
    packed = pack(np.array([0.0, 1.0, 1.0]))
    assert packed.dtype == "|u1"
    np.testing.assert_array_equal(unpack(packed), [0, 1, 1])


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
        unpack(PackedArray(dtype="<f4", **packed))


def test_a_result_survives_its_file(tmp_path):
    path = tmp_path / "r.json"
    files.save_result(EMPTY, path)
    assert files.load_result(path) == EMPTY
    document = json.loads(path.read_text())
    assert document["schema"] == "cnnshift.result"
    assert document["schema_version"] == SCHEMA_VERSION


def test_last_is_in_the_cache(cache):
    files.save_result(EMPTY, files.last_path())
    assert files.load_result("last") == EMPTY
    assert cache in files.last_path().parents
    files.last_path().unlink()
    with pytest.raises(InputError, match="No result file last"):
        files.load_result("last")


def changed(**fields) -> bytes:
    return json.dumps(json.loads(files.to_json(EMPTY)) | fields).encode()


def with_run(**fields) -> bytes:
    document = json.loads(OLD.read_text())
    run = document["runs"][0] | fields
    return json.dumps(document | {"runs": [run]}).encode()


def with_protocol(**fields) -> bytes:
    return with_run(protocol=json.loads(OLD.read_text())["runs"][0]["protocol"] | fields)


def with_shifts(**first) -> bytes:
    table = json.loads(OLD.read_text())["runs"][0]["by_shift"]
    return with_run(by_shift=table | {key: [value, *table[key][1:]] for key, value in first.items()})


def with_array(**fields) -> bytes:
    metric = json.loads(OLD.read_text())["runs"][0]["metrics"][0]
    return with_run(metrics=[metric | {"per_image": metric["per_image"] | fields}])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (OLD.read_bytes()[:5000], "is not JSON"),
        (b"[]", "its schema is None"),
        (b"7", "its schema is None"),
        (b'{"schema": "other"}', "its schema is 'other'"),
        (b'{"schema": "' + b"x" * 10_000 + b'"}', "its schema is 'xxx"),
        (changed(schema_version="1"), "schema_version '1'"),
        (changed(schema_version=0), "schema_version 0"),
        (changed(schema_version=SCHEMA_VERSION + 1), "which a newer cnnshift wrote.* upgrade it"),
        (changed(extra=1), "of version 3: extra: extra inputs are not permitted"),
        (changed(runs={}), "runs: input should be a valid list"),
        (changed(status="finished"), "status: input should be 'complete', 'partial' or 'interrupted'"),
        (changed(schema_version=1, runs=[7]), "of version 1: runs.0: input should be"),
        (with_run(metrics=float("nan")), "runs.0.metrics"),
        (with_protocol(step="1/0"), "protocol.step: allowed: pixels above 0"),
        (with_protocol(max_shift=-1), "protocol.max_shift: allowed: pixels above 0"),
        (with_shifts(dy="x"), "by_shift.dy.0: input should be a valid number"),
        (with_shifts(dx=1e300), "by_shift.dx.0: input should be less than or equal to"),
        (with_array(shape=[2**20, 2**20]), "the packed array 'accuracy' has shape .*12"),
        (with_array(shape=[13]), "has shape .*12"),
        (with_array(dtype="|O"), "dtype: input should be"),
        (with_array(data="?"), "damaged"),
        (with_array(data=compressed(b"\0" * 10_000_000)), "does not hold the 12 bytes"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, content, words):
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        files.load_result(path)
    said = str(caught.value)
    assert "r.json" in said
    assert "\n" not in said
    assert len(said) < 400


def test_many_arrays_that_claim_much_are_refused_before_any_is_inflated(tmp_path):
    # Every array alone is within its bound, and the file is small.
    document = json.loads(OLD.read_text())
    run = document["runs"][0]
    images = MAX_BYTES
    bomb = {"dtype": "|u1", "shape": [images], "data": compressed(b"\0" * images)}
    run["dataset"]["n"] = images
    run["metrics"] = [run["metrics"][0] | {"id": f"m{i}", "n": images, "per_image": bomb} for i in range(200)]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(document | {"runs": [run]}))
    started = time.process_time()
    with pytest.raises(InputError, match=f"allowed: at most {MAX_TOTAL_BYTES:,}"):
        files.load_result(path)
    # Inflating them would take half a minute; only their claims are read.
    assert time.process_time() - started < 10


def test_a_file_of_version_1_is_read():
    result = files.load_result(OLD)
    assert json.loads(OLD.read_text())["schema_version"] == 1
    assert result.schema_version == SCHEMA_VERSION
    first = result.runs[0]
    assert first.predictions is None
    assert first.family_version is None
    assert first.by_radius.survival_ci95 is None
    assert first.by_radius.sensitivity is None
    assert first.by_shift.sensitivity is None
    assert "not measured" in first.by_phase.reason
    accuracy = first.metric("accuracy")
    assert np.mean(unpack(accuracy.per_image)) == pytest.approx(accuracy.value)


def test_a_file_of_version_2_is_read_and_its_whole_pixels_stay_whole():
    path = DATA / "result-version-2.json"
    old = json.loads(path.read_text())
    assert old["schema_version"] == 2
    result = files.load_result(path)
    new = json.loads(files.to_json(result))
    assert new.pop("schema_version") == SCHEMA_VERSION
    del old["schema_version"]
    # What was measured since has no value in it. Text, and not numbers: 2 and 2.0 are equal.
    for run in new["runs"]:
        assert run.pop("by_phase")["py"] == []
        for table in (run["by_shift"], run["by_radius"]):
            assert table.pop("sensitivity") is None
            assert table.pop("sensitivity_reason") == ""
        assert run["by_radius"].pop("survival_ci95") is None
    assert json.dumps(new) == json.dumps(old)


def test_fractions_survive_a_file(tmp_path):
    thirds = [k / 3 for k in (-2, -1, 1, 2)]
    run = make_run(
        {"accuracy": [1.0, 0.0]},
        protocol={"name": "fourier", "max_shift": Fraction(2, 3), "step": Fraction(1, 3), "count": 4},
        by_shift=ShiftTable(
            dy=thirds, dx=[0, 1, -1, 2.0], accuracy=[1] * 4, consistency=[1] * 4, information_loss=[0] * 4
        ),
    )
    path = tmp_path / "r.json"
    files.save_result(make_result(run), path)
    document = json.loads(path.read_text())["runs"][0]
    assert (document["protocol"]["max_shift"], document["protocol"]["step"]) == ("2/3", "1/3")
    assert json.dumps(document["by_shift"]["dx"]) == "[0, 1, -1, 2]"
    found = files.load_result(path).runs[0]
    assert found == run
    assert found.by_shift.dy == thirds
    assert found.protocol.movement == "fourier, |d|≤2/3, step 1/3"


def test_migration_covers_every_version():
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


def test_the_shipped_schema_is_that_of_the_code():
    assert json.loads(schema_text()) == Result.model_json_schema(by_alias=True)


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


def test_tables_by_phase_and_radius_survive_the_file(tmp_path):
    phases = PhaseTable(
        stride=2,
        py=[0, 1],
        px=[1, 1],
        pairs=[4, 4],
        images=[4, 4],
        consistency=[0.5, 0.25],
        consistency_ci95=[(0, 1)] * 2,
    )
    plain = make_run({"accuracy": [1.0, 0.0, 1.0, 1.0]})
    curves = {"survival_ci95": [(0.1, 0.9)], "sensitivity": [0.3], "sensitivity_reason": ""}
    full = plain.model_copy(
        update={
            "by_phase": phases,
            "by_radius": plain.by_radius.model_copy(update=curves),
            "by_shift": plain.by_shift.model_copy(update={"sensitivity": [0.1] * 8}),
        }
    )
    for run in (plain, full):
        result = EMPTY.model_copy(update={"runs": [run]})
        files.save_result(result, tmp_path / "r.json")
        assert files.load_result(tmp_path / "r.json") == result


@pytest.mark.parametrize(
    ("table", "change"),
    [("by_phase", {"py": [0]}), ("by_radius", {"sensitivity": [0.1, 0.2]}), ("by_shift", {"sensitivity": [0.1]})],
)
def test_new_columns_must_be_as_long_as_the_others(tmp_path, table, change):
    run = make_run({"accuracy": [1.0, 0.0]})
    document = json.loads(files.to_json(EMPTY.model_copy(update={"runs": [run]})))
    document["runs"][0][table] |= change
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=f"the columns of {table} have different lengths"):
        files.load_result(tmp_path / "r.json")
