"""Result files: exact round trips, and damaged or contradictory content."""

import base64
import json
import time
import zlib
from fractions import Fraction

import pytest

from cnnshift.errors import InputError
from cnnshift.results import files
from cnnshift.results.packing import MAX_BYTES
from cnnshift.results.schema import SCHEMA_VERSION, MetricResult, PhaseTable, Result, ShiftTable, schema_text
from cnnshift.results.validation import MAX_TOTAL_BYTES
from tests.factories import make_result, make_run, result_file

OLD = result_file(1)

EMPTY = Result(
    status="complete",
    created="2026-01-01T00:00:00+00:00",
    cnnshift_version="0",
    config={},
    environment={},
    runs=[],
)


def compress(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


def test_a_result_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "r.json"
    files.save_result(EMPTY, path)
    assert files.load_result(path) == EMPTY
    document = json.loads(path.read_text())
    assert document["schema"] == "cnnshift.result"
    assert document["schema_version"] == SCHEMA_VERSION


def test_last_is_the_newest_result_in_the_cache(cache):
    files.save_result(EMPTY, files.locate("last"))
    assert files.load_result("last") == EMPTY
    assert cache in files.locate("last").parents
    files.locate("last").unlink()
    with pytest.raises(InputError, match="No result file last"):
        files.load_result("last")


def with_fields(**fields) -> bytes:
    return json.dumps(json.loads(files.to_json(EMPTY)) | fields).encode()


def with_run(**fields) -> bytes:
    document = json.loads(OLD.read_text())
    run = document["runs"][0] | fields
    return json.dumps(document | {"runs": [run]}).encode()


def with_two_equal_runs(**fields) -> bytes:
    document = json.loads(with_run(**fields))
    return json.dumps(document | {"runs": 2 * document["runs"]}).encode()


def with_protocol(**fields) -> bytes:
    return with_run(protocol=json.loads(OLD.read_text())["runs"][0]["protocol"] | fields)


def with_shifts(**first) -> bytes:
    table = json.loads(OLD.read_text())["runs"][0]["by_shift"]
    return with_run(by_shift=table | {key: [value, *table[key][1:]] for key, value in first.items()})


def with_array(**fields) -> bytes:
    metric = json.loads(OLD.read_text())["runs"][0]["metrics"][0]
    return with_run(metrics=[metric | {"per_image": metric["per_image"] | fields}])


@pytest.mark.parametrize(
    ("content", "message"),
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
        (with_fields(schema_version="1"), "schema_version '1'"),
        (with_fields(schema_version=0), "schema_version 0"),
        (
            with_fields(schema_version=SCHEMA_VERSION + 1),
            "allowed: 1 to .* by a newer cnnshift; upgrade cnnshift",
        ),
        (with_fields(extra=1), f"of version {SCHEMA_VERSION}: extra: extra inputs are not permitted"),
        (with_fields(runs={}), "runs: it must be a valid list"),
        (with_fields(status="finished"), "status: it must be 'complete', 'partial' or 'interrupted'"),
        (with_fields(schema_version=1, runs=[7]), "of version 1: runs.0: it must be"),
        (with_run(metrics=float("nan")), "runs.0.metrics"),
        (with_protocol(step="1/0"), "protocol.step: allowed: pixels above 0"),
        (with_protocol(max_shift=-1), "protocol.max_shift: allowed: pixels above 0"),
        (with_shifts(dy="x"), "by_shift.dy.0: it must be a valid number"),
        (with_shifts(dx=1e300), "by_shift.dx.0: it must be less than or equal to"),
        (with_array(shape=[2**20, 2**20]), "the packed array 'accuracy' has shape .*12"),
        (with_array(shape=[13]), "has shape .*12"),
        (with_array(dtype="|O"), "dtype: it must be"),
        pytest.param(with_two_equal_runs(model="m" * 9000), "there are two runs of mmm", id="long name"),
        (with_array(data="?"), "damaged"),
        (with_array(data=compress(b"\0" * 10_000_000)), "does not have the 12 bytes"),
    ],
)
def test_damaged_files_raise_one_sentence(tmp_path, content, message):
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        files.load_result(path)
    error = str(caught.value)
    assert "r.json" in error
    assert "\n" not in error
    assert len(error) < 400


def test_the_total_size_of_all_arrays_is_checked_before_any_is_decompressed(tmp_path):
    # Every array is within its own limit, and the file is small.
    document = json.loads(OLD.read_text())
    run = document["runs"][0]
    images = MAX_BYTES
    bomb = {"dtype": "|u1", "shape": [images], "data": compress(b"\0" * images)}
    run["dataset"]["n"] = images
    run["metrics"] = [run["metrics"][0] | {"id": f"m{i}", "n": images, "per_image": bomb} for i in range(200)]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(document | {"runs": [run]}))
    started = time.process_time()
    with pytest.raises(InputError, match=f"they must have at most {MAX_TOTAL_BYTES:,}"):
        files.load_result(path)
    # Decompressing them would take half a minute.
    assert time.process_time() - started < 10


def test_fractional_shifts_are_read_as_they_were_written(tmp_path):
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
    assert found.protocol.label == "fourier, |d|≤2/3, step 1/3"


def test_the_shipped_schema_is_that_of_the_code():
    assert json.loads(schema_text()) == Result.model_json_schema(by_alias=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_must_be_finite(value):
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


def test_tables_by_phase_and_radius_are_read_as_they_were_written(tmp_path):
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
def test_columns_must_have_the_same_length(tmp_path, table, change):
    run = make_run({"accuracy": [1.0, 0.0]})
    document = json.loads(files.to_json(EMPTY.model_copy(update={"runs": [run]})))
    document["runs"][0][table] |= change
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=f"the columns of {table} have different lengths"):
        files.load_result(tmp_path / "r.json")
