"""Matching of runs and metrics, and verdicts of those without a counterpart."""

import numpy as np
import pytest

from cnnshift.api import compare
from cnnshift.errors import InputError
from cnnshift.render.documents.comparison import comparison_document
from cnnshift.results.schema import TrainingRecord
from tests.comparing import PLAIN, against, next_step, only
from tests.factories import make_metric, make_outcomes, make_result, make_run, make_summary


@pytest.mark.parametrize(
    ("other", "verdict", "message"),
    [
        (make_run({"accuracy": make_outcomes(50, 100)}, contract="b"), "incomparable", "dataset n 200 → 100"),
        (
            make_run({"accuracy": make_outcomes(150)}, contract="b", protocol={"max_shift": 2}),
            "incomparable",
            "protocol max_shift 1 → 2",
        ),
        (
            make_run({"accuracy": make_outcomes(150)}, contract="b", protocol={"step": 2, "set": "axis"}),
            "incomparable",
            "protocol set grid → axis, protocol step 1 → 2",
        ),
        (
            make_run({"accuracy": make_outcomes(150)}, contract="b", dataset={"fingerprint": "g"}),
            "incomparable",
            "measured under other conditions: dataset fingerprint",
        ),
        (
            make_run({"accuracy": make_outcomes(150)}, contract="b", dataset={"name": "toy:canvas=9"}),
            "incomparable",
            "dataset name toy → toy:canvas=9",
        ),
        (make_run({"accuracy": make_outcomes(150)}, contract="b"), "incomparable", "another version of the protocol"),
        # The contract contradicts the records beside it.
        (make_run({"accuracy": make_outcomes(50, 100)}), "incomparable", "dataset n 200 → 100"),
        (make_run({"accuracy": make_outcomes(150)}, protocol={"count": 24}), "incomparable", "count 8 → 24"),
    ],
)  # fmt: skip
def test_runs_that_were_measured_under_other_conditions(other, verdict, message):
    if other.protocol.count == 24:
        other = other.model_copy(update={"by_shift": PLAIN.by_shift.model_copy(update={"dy": [], "dx": []})})
        other = other.model_copy(update={"by_shift": type(other.by_shift)(reason="left out")})
    found = against(PLAIN, other)
    assert found.status == "incomparable"
    assert only(found).verdict == verdict
    assert message in only(found).reason
    assert only(found).difference is None
    # Allowing it does not help if nothing else was compared.
    allowed = against(PLAIN, other, incomparable=True)
    assert allowed.status == "incomparable"
    second = PLAIN.model_copy(update={"model": "mlp"})
    if other.contract != PLAIN.contract:
        both = [make_result(PLAIN, second), make_result(other, second)]
        assert compare(*both, allow_incomparable=True).status == "passed"
        assert compare(*both).status == "incomparable"
    assert against(PLAIN, other, missing=True).status == "incomparable"
    assert comparison_document(found).findings[0].level == "error"
    assert comparison_document(allowed).findings[0].level == "error"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "mlp"},
        {"protocol": {"name": "zero"}, "contract": "zero"},
        {"dataset": {"name": "other"}, "contract": "other"},
    ],
    ids=str,
)
@pytest.mark.parametrize("lacking", ["candidate", "baseline"])
def test_runs_that_one_side_lacks(changes, lacking):
    extra = make_run({"accuracy": make_outcomes(100)}, **changes)
    both, one = make_result(PLAIN, extra), make_result(PLAIN)
    found = against(both, one) if lacking == "candidate" else against(one, both)
    assert found.status == "incomparable"
    row = next(row for row in found.rows if row.verdict == "missing")
    assert row.model == extra.model
    assert row.reason == f"not measured in the {lacking}"
    again = against(both, one, missing=True) if lacking == "candidate" else against(one, both, missing=True)
    assert again.status == "passed"
    assert again.rows == found.rows
    assert against(both, one, incomparable=True).status == "incomparable"


def test_models_with_another_preprocessing_are_incomparable():
    recipes = ({"preprocess": {"mean": "0.5"}}, {"preprocess": {"mean": "0.4"}})
    runs = [PLAIN.model_copy(update={"training": TrainingRecord(recipe=recipe, cached=False)}) for recipe in recipes]
    found = against(*runs)
    assert found.status == "incomparable"
    assert "preprocessing {'mean': '0.5'} → {'mean': '0.4'}" in only(found).reason
    assert against(runs[0], runs[0]).status == "passed"


def test_seeds_and_weights_may_differ():
    other = PLAIN.model_copy(update={"seed": 7, "weights_digest": "1" * 64})
    assert only(against(PLAIN, other)).verdict == "unchanged"


@pytest.mark.parametrize("lacking", ["candidate", "baseline"])
def test_a_metric_that_one_side_lacks(lacking):
    both = make_run({"accuracy": make_outcomes(150), "mac": make_outcomes(10)})
    pair = (both, PLAIN) if lacking == "candidate" else (PLAIN, both)
    named = against(*pair, gates=["mac:1pp", "accuracy:1pp"])
    row = next(row for row in named.rows if row.metric == "mac")
    assert (row.verdict, row.reason) == ("missing", f"the {lacking} does not have the metric")
    assert named.status == "incomparable"
    pattern = against(*pair, gates=["*:1pp"])
    # New metrics do not make an old file incomparable, but removed ones do.
    assert pattern.status == ("incomparable" if lacking == "candidate" else "passed")


def test_a_metric_that_only_one_seed_has():
    base = make_result(make_run({"accuracy": make_outcomes(150)}, seed=0), make_run({"mac": make_outcomes(1)}, seed=1))
    found = against(base, base, gates=["accuracy:1pp"])
    assert only(found).verdict == "missing"


def test_metrics_of_another_version_or_definition():
    for changes, message in (
        ({"version": 2}, "the versions of the metric differ: 1 and 2"),
        ({"unit": "", "title": "share"}, "the definition of the metric differs: unit 'fraction' → ''"),
        ({"higher_is_better": False}, "higher_is_better True → False"),
        ({"bounds": (0, 2)}, r"bounds (0.0, 1.0) → (0.0, 2.0)"),
    ):
        other = make_run({"accuracy": make_metric("accuracy", make_outcomes(150), **changes)})
        for pair in ((PLAIN, other), (other, PLAIN)):
            found = against(*pair)
            assert (found.status, only(found).verdict) == ("incomparable", "incomparable")
        assert message in only(against(PLAIN, other)).reason


def test_a_metric_without_a_value():
    without = make_run({"accuracy": make_outcomes(150), "feature_cosine": None})
    value = make_run({"accuracy": make_outcomes(150), "feature_cosine": np.full(200, 0.5)})
    for pair, side in (((value, without), "candidate"), ((without, value), "baseline")):
        found = against(*pair, gates=["*:1%"])
        row = next(row for row in found.rows if row.metric == "feature_cosine")
        assert (row.verdict, row.reason) == ("incomparable", f"no value in the {side}: not available")
        assert found.status == "incomparable"
    # A metric without a value on both sides is omitted.
    both = against(without, without, gates=["*:1%"])
    assert (both.status, only(both).metric) == ("passed", "accuracy")


def test_without_any_value_nothing_passes():
    without = make_run({"feature_cosine": None})
    found = against(without, without, gates=["*:1%"])
    assert (found.status, found.rows) == ("incomparable", [])
    assert "nothing could be compared" in next_step(found)


@pytest.mark.parametrize("empty", ["baseline", "candidate", "both"])
def test_results_without_runs_never_pass(empty):
    full, none = make_result(PLAIN), make_result()
    pair = {"baseline": (none, full), "candidate": (full, none), "both": (none, none)}[empty]
    assert against(*pair).status == "incomparable"
    assert against(none, none, missing=True, incomparable=True).status == "incomparable"


def test_a_gate_for_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match=r"Unknown metric 'acuracy'.*Did you mean 'accuracy'"):
        against(PLAIN, PLAIN, gates=["acuracy:1pp"])
    with pytest.raises(InputError, match=r"Unknown metric 'foo\*'"):
        against(PLAIN, PLAIN, require=["foo*>=1"])


def test_a_gate_of_another_unit_is_refused_and_a_pattern_is_not():
    one = make_run({"accuracy": make_outcomes(150), "invariance_radius": make_summary("invariance_radius", 3.0)})
    with pytest.raises(InputError, match="The gate 'accuracy:1px' does not apply to accuracy"):
        against(one, one, gates=["accuracy:1px"])
    with pytest.raises(InputError, match=r"The gate 'acc\*:1px' does not apply to accuracy"):
        against(one, one, gates=["acc*:1px"])
    found = against(one, one, gates=["*:1px"])
    assert only(found).metric == "invariance_radius"
    assert any("No gate applies to the unit of accuracy" in note for note in found.notes)
    assert not against(one, one, gates=["accuracy:1pp", "*:1px"]).notes
    assert len(against(one, one, gates=["*:1pp"]).rows) == 2
