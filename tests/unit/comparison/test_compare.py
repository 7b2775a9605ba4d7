"""Requirements, status, notes and the next step; models of one result; the Python API."""

import itertools

import pytest

from cnnshift.api import compare
from cnnshift.errors import InputError
from cnnshift.render.documents.comparison import comparison_document
from cnnshift.results.files import save_result
from tests.comparing import OLD, PLAIN, against, among, next_step, of_outcomes, only, rng
from tests.factories import make_outcomes, make_result, make_run, make_summary


def test_requirements_apply_to_every_model_of_every_candidate():
    two = make_result(PLAIN, make_run({"accuracy": make_outcomes(180)}, model="mlp"))
    found = against(two, two, require=["accuracy>=80%"])
    assert [(one.candidate, one.model, one.met) for one in found.requirements] == [
        ("new.json", "cnn", False),
        ("new.json", "mlp", True),
    ]
    assert found.status == "failed"
    assert "Next: inspect cnn" in next_step(found)
    assert "required accuracy>=80%: the value is 75.0 %" in next_step(found)
    assert against(two, two, require=["accuracy>=75%"]).status == "passed"


def test_a_requirement_applies_to_the_mean_over_seeds():
    seeds = make_result(*(make_run({"accuracy": make_outcomes(n)}, seed=n) for n in (140, 160)))
    (one,) = against(seeds, seeds, require=["accuracy>=75%"]).requirements
    assert (one.value, one.met) == (pytest.approx(0.75), True)


def test_a_requirement_without_a_value_is_not_met():
    for require in ("mac<5%", "feature_cosine>=0.5"):
        run = make_run({"accuracy": make_outcomes(150), "feature_cosine": None})
        found = against(run, run, gates=["accuracy:1pp"], require=[require])
        (one,) = found.requirements
        assert (found.status, one.value, one.met) == ("incomparable", None, False)
        assert "no value was measured" in next_step(found)
        assert "--allow-missing" in next_step(found)
        assert against(run, run, gates=["accuracy:1pp"], require=[require], missing=True).status == "passed"


def test_a_required_pattern_applies_to_metrics_of_its_unit():
    run = make_run({"accuracy": make_outcomes(150), "kappa": make_summary("kappa", 0.2)})
    assert [one.metric for one in against(run, run, require=["*>=50%"]).requirements] == ["accuracy"]
    assert [one.met for one in against(run, run, require=["*>=0.5"]).requirements] == [True, False]


def test_a_failed_gate_takes_precedence_over_a_missing_row():
    base = make_result(make_run({"accuracy": make_outcomes(190)}), PLAIN.model_copy(update={"model": "mlp"}))
    found = against(base, make_run({"accuracy": make_outcomes(100)}))
    assert found.status == "failed"
    assert {row.verdict for row in found.rows} == {"regressed", "missing"}
    assert next_step(found).startswith("Next: inspect cnn, accuracy: regressed: 95.0 % → 50.0 %")


def test_notes_state_differences_of_device_and_training():
    base = make_result(make_run({"accuracy": make_outcomes(150)}, recipe={"epochs": 1, "augment": "none"}))
    other = make_result(
        make_run({"accuracy": make_outcomes(150)}, recipe={"epochs": 2, "augment": "none", "clip": [1, "\x1b[31m\n"]}),
        status="partial",
        environment={"device_kind": "gpu", "matmul_precision": "highest"},
    )
    notes = against(base, other).notes
    assert notes[0] == "new.json is partial: it has 1 finished run."
    assert notes[1] == "The device kind of new.json differs: cpu → gpu."
    assert notes[2].startswith("The training of cnn differs: clip None → [1, ")
    assert "epochs 1 → 2" in notes[2]
    assert not any("\x1b" in note or "\n" in note for note in notes)
    assert against(base, base).notes == []


def test_a_single_training_run_does_not_represent_its_training_procedure():
    other = PLAIN.model_copy(update={"weights_digest": "1" * 64})
    (note,) = against(PLAIN, other).notes
    assert note.startswith("The weights differ, and one side has a single training run")
    two = [
        make_result(*(make_run({"mac": rng(s).random(9)}, seed=s, weights_digest=f"{s + k}") for s in (0, 1)))
        for k in (0, 5)
    ]
    assert against(*two, gates=["mac:1pp"]).notes == []


def test_the_next_step_for_each_status():
    assert next_step(of_outcomes(150, 150)) == "No gate failed."
    assert next_step(of_outcomes(190, 150)).startswith("Next: inspect cnn, accuracy: regressed")
    assert "images (now 200) to settle cnn, accuracy" in next_step(of_outcomes(190, 187))
    assert "--allow-missing" in next_step(against(PLAIN, PLAIN.model_copy(update={"model": "mlp"})))
    other = make_run({"accuracy": make_outcomes(50, 100)}, contract="b")
    assert "--allow-incomparable" in next_step(against(PLAIN, other))


def test_the_next_step_names_the_missing_allowance():
    base = make_result(PLAIN, PLAIN.model_copy(update={"model": "mlp"}))
    other = make_result(make_run({"accuracy": make_outcomes(50, 100)}, contract="b"))
    step = next_step(against(base, other, missing=True))
    assert "--allow-incomparable" in step
    assert "--allow-missing" not in step


def test_the_next_step_is_about_a_failed_requirement_before_inconclusive_rows():
    found = of_outcomes(190, 187, require=["accuracy>=95%"])
    assert found.status == "failed"
    assert "required accuracy>=95%" in next_step(found)


def test_only_changed_counts_the_hidden_rows():
    base = {"accuracy": make_outcomes(150), "mac": make_outcomes(30), "fidelity": make_outcomes(100)}
    found = against(make_run(base), make_run(base | {"fidelity": make_outcomes(30)}), gates=["*:1pp"])
    document = comparison_document(found, only_changed=True)
    assert [len(column.cells) for column in document.tables[0].columns] == [1] * len(document.tables[0].columns)
    assert "2 unchanged rows are not shown." in document.footer
    assert len(document.records) == len(document.lines) == 3
    assert comparison_document(found).footer[0] != document.footer[0]
    one = comparison_document(of_outcomes(150, 150), only_changed=True)
    assert one.tables == []
    assert "1 unchanged row is not shown." in one.footer


def models(**scores):
    """A result with one model per (accuracy, worst case, params, flops, speed)."""
    return make_result(
        *(
            make_run(
                {"accuracy": make_outcomes(accuracy), "worst_case_accuracy": make_outcomes(worst)},
                model=name,
                params=params,
                flops=flops,
                timing={"images_per_second": speed},
            )
            for name, (accuracy, worst, params, flops, speed) in scores.items()
        )
    )


def test_ranking_matches_brute_force():
    random = rng(3)
    scores = {
        f"m{i}": (
            int(random.integers(100, 104)),
            int(random.integers(50, 54)),
            None if random.random() < 0.2 else int(random.integers(1, 5)),
            None if random.random() < 0.2 else float(random.integers(1, 5)),
            float(random.integers(0, 4)),
        )
        for i in range(24)
    }
    ranking = {one.model: one for one in among(models(**scores)).ranking}
    assert list(ranking) == sorted(scores, key=lambda name: (-scores[name][1], -scores[name][0]))
    cost = {
        name: {"params": params, "flops": flops, "time": 1 / speed if speed else None}
        for name, (_, _, params, flops, speed) in scores.items()
    }
    for name, one in ranking.items():
        assert one.rank == 1 + sum(other[1] > scores[name][1] for other in scores.values())
        front = []
        for kind in ("params", "flops", "time"):
            beaten = [
                other
                for other in scores
                if None not in (cost[other][kind], cost[name][kind])
                and scores[other][0] >= scores[name][0]
                and scores[other][1] >= scores[name][1]
                and cost[other][kind] <= cost[name][kind]
                and (*scores[other][:2], cost[other][kind]) != (*scores[name][:2], cost[name][kind])
            ]
            front += [kind] if cost[name][kind] is not None and not beaten else []
        assert one.pareto == front
    assert any(one.pareto for one in ranking.values())
    assert any(not one.pareto for one in ranking.values())


def test_ties_share_a_rank():
    same = (150, 100, 10, 1.0, 1.0)
    found = among(models(a=same, b=same, c=(150, 90, 10, 1.0, 1.0))).ranking
    assert [one.rank for one in found] == [1, 1, 3]
    assert [one.pareto for one in found] == [["params", "flops", "time"]] * 2 + [[]]


def test_models_without_one_of_the_accuracies_are_not_ranked():
    result = make_result(PLAIN, make_run({"accuracy": make_outcomes(3)}, model="mlp"))
    assert among(result).ranking == []


def test_the_reference_is_the_first_or_chosen():
    result = models(a=(150, 100, 1, 1.0, 1.0), b=(100, 50, 1, 1.0, 1.0), c=(180, 120, 1, 1.0, 1.0))
    first, chosen = among(result), among(result, reference="b")
    assert (first.baseline, {row.model for row in first.rows}) == ("a", {"b", "c"})
    assert (chosen.baseline, {row.model for row in chosen.rows}) == ("b", {"a", "c"})
    assert {row.verdict for row in chosen.rows} == {"improved"}
    with pytest.raises(InputError, match="Unknown reference 'd'; allowed: a, b, c"):
        among(result, reference="d")


def test_between_models_only_given_gates_fail():
    result = models(a=(150, 100, 1, 1.0, 1.0), b=(100, 50, 1, 1.0, 1.0))
    found = among(result)
    assert (found.status, found.gated) == ("passed", False)
    assert found.count("regressed") == 2
    assert {finding.level for finding in comparison_document(found).findings} == {"notice"}
    with_gate = among(result, gates=["accuracy:1pp"])
    assert (with_gate.status, with_gate.gated) == ("failed", True)
    # An unmet requirement does not activate the default gates.
    required = among(result, require=["accuracy>=60%"])
    levels = [finding.level for finding in comparison_document(required).findings]
    assert required.status == "failed"
    assert levels.count("failure") == 1
    assert "required accuracy>=60%" in next_step(required)


def test_contracts_are_compared_one_by_one():
    zero = {"protocol": {"name": "zero"}, "contract": "zero"}
    result = make_result(
        PLAIN,
        make_run({"accuracy": make_outcomes(150)}, **zero),
        make_run({"accuracy": make_outcomes(60)}, model="mlp"),
        make_run({"accuracy": make_outcomes(150)}, model="mlp", **zero),
    )
    rows = {row.protocol: row.verdict for row in among(result).rows}
    assert rows == {"circular, |d|≤1": "regressed", "zero, |d|≤1": "unchanged"}


def test_a_model_under_a_contract_that_the_reference_lacks():
    result = make_result(PLAIN, make_run({"accuracy": make_outcomes(3)}, model="mlp", contract="b"))
    found = among(result)
    assert (found.status, only(found).verdict) == ("incomparable", "missing")
    assert only(found).reason == "the reference cnn was not measured under the same conditions"


def test_a_single_model_has_no_rows():
    found = among(make_result(PLAIN))
    assert (found.status, found.rows) == ("passed", [])
    assert "nothing to compare" in comparison_document(found).header[0]
    assert among(make_result(PLAIN), require=["accuracy>=80%"]).status == "failed"


def test_a_result_without_runs_is_refused():
    with pytest.raises(InputError, match="has no finished run"):
        among(make_result())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_one_file_may_be_given_several_times():
    found = compare(OLD, OLD, str(OLD))
    assert found.status == "passed"
    assert found.candidates == [f"{OLD} (2)", f"{OLD} (3)"]
    assert {row.verdict for row in found.rows} == {"unchanged"}


def test_results_runs_and_files_may_be_mixed(tmp_path):
    save_result(make_result(PLAIN), tmp_path / "r.json")
    found = compare(PLAIN, make_result(PLAIN), "r.json")
    assert (found.status, found.candidates) == ("passed", ["result 2", "r.json"])


def test_a_file_of_version_1_can_be_compared_but_not_exactly():
    assert compare(OLD, OLD).status == "passed"
    found = compare(OLD, OLD, exact=True)
    assert found.status == "incomparable"
    assert "a run has no predictions" in next_step(found)


def test_usage_mistakes():
    with pytest.raises(InputError, match="compare got no result"):
        compare()
    with pytest.raises(InputError, match="allowed only with one result, not 2"):
        compare(PLAIN, PLAIN, reference="cnn")
    with pytest.raises(InputError, match="two or more results; there is one"):
        compare(PLAIN, exact=True)


def test_several_candidates_each_have_rows():
    found = compare(PLAIN, make_run({"accuracy": make_outcomes(60)}), PLAIN)
    assert [(row.candidate, row.verdict) for row in found.rows] == [
        ("result 2", "regressed"),
        ("result 3", "unchanged"),
    ]


def test_every_combination_of_allowances():
    third = PLAIN.model_copy(update={"model": "third"})
    base = make_result(PLAIN, PLAIN.model_copy(update={"model": "mlp"}), third)
    other = make_result(make_run({"accuracy": make_outcomes(50, 100)}, contract="b"), third)
    for missing, incomparable in itertools.product((False, True), repeat=2):
        found = compare(base, other, allow_missing=missing, allow_incomparable=incomparable)
        # The third row is compared.
        assert found.status == ("passed" if missing and incomparable else "incomparable")
        levels = {
            row.verdict: finding.level
            for row, finding in zip(found.rows, comparison_document(found).findings, strict=True)
        }
        assert levels == {
            "unchanged": "passed",
            "missing": "notice" if missing else "error",
            "incomparable": "notice" if incomparable else "error",
        }
