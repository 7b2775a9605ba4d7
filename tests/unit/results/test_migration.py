"""Committed result files of every older schema version are read, and keep their content."""

import json

import numpy as np
import pytest

from cnnshift.comparison.compare import compare_results
from cnnshift.comparison.gates import resolve_policy
from cnnshift.results import files
from cnnshift.results.migration import STEPS, migrate
from cnnshift.results.packing import unpack
from cnnshift.results.schema import SCHEMA_VERSION
from tests.factories import result_file


def both(version):
    """Return a committed file as the JSON document that it holds, and as that of its migrated result."""
    old = json.loads(result_file(version).read_text())
    assert old.pop("schema_version") == version
    new = json.loads(files.to_json(files.load_result(result_file(version))))
    assert new.pop("schema_version") == SCHEMA_VERSION
    return old, new


def test_there_is_a_step_from_every_older_version():
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


def test_version_1_lacks_what_was_added_later():
    first = files.load_result(result_file(1)).runs[0]
    assert first.predictions is None
    assert first.family_version is None
    assert first.engine is None
    assert first.by_radius.survival_ci95 is None
    assert first.by_radius.sensitivity is None
    assert first.by_shift.sensitivity is None
    assert "not measured" in first.by_phase.reason
    accuracy = first.metric("accuracy")
    assert np.mean(unpack(accuracy.per_image)) == pytest.approx(accuracy.value)


def test_version_2_keeps_its_numbers_and_its_whole_pixels():
    old, new = both(2)
    for run in new["runs"]:
        # Measured since version 3, without a value here.
        assert run.pop("by_phase")["py"] == []
        for table in (run["by_shift"], run["by_radius"]):
            assert table.pop("sensitivity") is None
            assert table.pop("sensitivity_reason") == ""
        assert run["by_radius"].pop("survival_ci95") is None
        assert run["protocol"].pop("wraps") is True
        run["engine"] = {"name": run["engine"]["name"], "forwards": run["engine"]["forward_passes"]}
    # As text, because the numbers 2 and 2.0 are equal.
    assert json.dumps(new) == json.dumps(old)


def test_version_3_keeps_its_numbers_under_the_new_keys():
    old, new = both(3)
    for before, after in zip(old["runs"], new["runs"], strict=True):
        assert after["protocol"].pop("wraps") is True
        assert after["engine"].pop("forward_passes") == before["engine"].pop("forwards")
    for key in ("contract", "protocol", "dataset", "metrics", "predictions", "by_shift", "by_radius", "by_phase"):
        assert [run[key] for run in new["runs"]] == [run[key] for run in old["runs"]]


def test_version_3_renames_the_options_of_model_specs():
    result = files.load_result(result_file(3))
    assert result.config["models"] == [
        "stn:backbone=mlp,width=2",
        "py:brightness.py:build:channel_order=bgr",
    ]
    wrapper, external = result.runs
    assert [wrapper.model, external.model] == result.config["models"]
    assert wrapper.options == {"backbone": "mlp", "width": "2"}
    assert external.options == {"channel_order": "bgr"}
    assert external.training.recipe["preprocess"] == {"channel_order": "bgr"}


def test_options_of_the_same_name_elsewhere_are_kept():
    model = "py:net.py:build:around=3"
    run = {"model": model, "options": {"around": "3"}}
    assert migrate({"config": {"models": [model]}, "runs": [run]}, 3) == {
        "schema_version": SCHEMA_VERSION,
        "config": {"models": [model]},
        "runs": [run],
    }


@pytest.mark.parametrize(("protocol", "wraps"), [("circular", True), ("bilinear", True), ("zero", False)])
def test_version_3_does_not_record_whether_a_protocol_wraps(protocol, wraps):
    document = migrate({"runs": [{"protocol": {"name": protocol}}]}, 3)
    assert document["runs"][0]["protocol"]["wraps"] == wraps


@pytest.mark.parametrize("version", STEPS)
def test_old_files_compare_with_the_current_version(version):
    old = files.load_result(result_file(version))
    new = files.parse_result(files.to_json(old).encode(), "new.json")
    comparison = compare_results({"old.json": old, "new.json": new}, resolve_policy(["*:0"]))
    assert comparison.status == "passed"
    assert {row.verdict for row in comparison.rows} == {"unchanged"}
