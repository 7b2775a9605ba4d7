"""Gates, requirements and policies as they are written."""

import pytest

from cnnshift.catalog import METRICS
from cnnshift.comparison.gates import (
    Gate,
    Policy,
    Requirement,
    matching,
    parse_gate,
    parse_requirement,
    resolve_policy,
)
from cnnshift.config import DEFAULT_GATES
from cnnshift.errors import InputError


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("accuracy:0.5pp", Gate("accuracy", 0.5, "pp")),
        ("mac:5%", Gate("mac", 5.0, "%")),
        ("invariance_radius:1px", Gate("invariance_radius", 1.0, "px")),
        ("kappa:.02", Gate("kappa", 0.02, "")),
        ("*:1pp", Gate("*", 1.0, "pp")),
        ("*_accuracy:0", Gate("*_accuracy", 0.0, "")),
        ("[am]*:1e-3", Gate("[am]*", 0.001, "")),
        ("ma?:1.", Gate("ma?", 1.0, "")),
        ("  accuracy:1pp\n", Gate("accuracy", 1.0, "pp")),
        ("my-metric:+2%", Gate("my-metric", 2.0, "%")),
    ],
)
def test_gates_are_read(text, gate):
    assert parse_gate(text) == gate
    assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize(
    "text",
    ["", ":", "accuracy", "accuracy:", ":1pp", "accuracy:-1pp", "accuracy:1 pp", "accuracy:1ppp", "accuracy:pp",
     "accuracy:1e999", "accuracy:nan", "accuracy:inf", "accuracy:1,5pp", "accuracy=1pp", "accuracy:1pp:2pp",
     "accuracy :1pp", "accuracy:1PP", "a b:1", "accuracy:1pp\nmac:1%", "accuracy:١pp", "accuracy:0x1"],
)  # fmt: skip
def test_what_is_no_gate_is_told_with_examples(text):
    with pytest.raises(InputError, match=r"is not METRIC:MARGIN .*accuracy:0.5pp") as caught:
        parse_gate(text)
    assert f"'{text}'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("accuracy>=97%", Requirement("accuracy", ">=", 97.0, "%")),
        ("flip_probability<0.01", Requirement("flip_probability", "<", 0.01, "")),
        ("invariance_radius > 2px", Requirement("invariance_radius", ">", 2.0, "px")),
        ("kappa <= -0.5", Requirement("kappa", "<=", -0.5, "")),
        ("*consistency>=.9", Requirement("*consistency", ">=", 0.9, "")),
    ],
)
def test_requirements_are_read(text, requirement):
    assert parse_requirement(text) == requirement
    assert parse_requirement(str(requirement)) == requirement


@pytest.mark.parametrize(
    "text",
    ["", "accuracy", "accuracy=1", "accuracy==1", "accuracy>", ">=1", "accuracy>=1pp", "accuracy=>1",
     "accuracy>=1e999", "accuracy>=nan", "accuracy>=high", "accuracy>=1>=2"],
)  # fmt: skip
def test_what_is_no_requirement_is_told_with_examples(text):
    with pytest.raises(InputError, match=r"is not METRIC>=VALUE .*accuracy>=97%"):
        parse_requirement(text)


@pytest.mark.parametrize("text", ["accuracy>=99.99999%", "kappa<0.123456789", "accuracy>=97%"])
def test_requirements_are_shown_as_exactly_as_they_were_written(text):
    assert str(parse_requirement(text)) == text


@pytest.mark.parametrize(
    ("text", "id", "unit", "base", "margin"),
    [
        ("accuracy:0.5pp", "accuracy", "fraction", 0.9, 0.005),
        ("accuracy:0.5", "accuracy", "fraction", 0.9, 0.5),
        ("accuracy:5%", "accuracy", "fraction", 0.8, 0.04),
        ("feature_cosine:5%", "feature_cosine", "", -0.8, 0.04),
        ("mac:5%", "mac", "fraction", 0.0, 0.0),
        ("invariance_radius:1px", "invariance_radius", "px", 4.0, 1.0),
        ("invariance_radius:0.5", "invariance_radius", "px", 4.0, 0.5),
        ("kappa:0.02", "kappa", "", 0.5, 0.02),
        # Of metrics that are no fractions, a pattern in pp asks for their own margins.
        ("*:2pp", "kappa", "", 0.5, 0.01),
        ("*:2pp", "invariance_radius", "px", 4.0, 0.5),
    ],
)
def test_margins_are_in_the_metric_s_unit(text, id, unit, base, margin):
    assert parse_gate(text).margin(id, unit, base) == pytest.approx(margin, abs=1e-15)


@pytest.mark.parametrize(
    ("gate", "id", "unit", "words"),
    [
        ("kappa:2pp", "kappa", "", "no fraction"),
        ("invariance_radius:1pp", "invariance_radius", "px", "no fraction"),
        ("accuracy:1", "accuracy", "fraction", "can never fail"),
        ("*:100pp", "accuracy", "fraction", "can never fail"),
    ],
)
def test_margins_that_say_nothing_are_refused(gate, id, unit, words):
    with pytest.raises(InputError, match=words):
        parse_gate(gate).margin(id, unit, 0.5)


@pytest.mark.parametrize("text", ["accuracy>=97", "accuracy>=101%", "accuracy>=-1"])
def test_values_that_no_fraction_has_are_refused(text):
    with pytest.raises(InputError, match=r"write 97% or 0\.97"):
        parse_requirement(text).is_met("accuracy", "fraction", 0.5)


@pytest.mark.parametrize("unit", ["fraction", ""])
def test_a_margin_in_pixels_is_for_lengths(unit):
    with pytest.raises(InputError, match="'m:1px' does not fit m, which is no length in pixels"):
        parse_gate("m:1px").margin("m", unit, 1.0)


@pytest.mark.parametrize(("text", "unit"), [("m>1%", "px"), ("m>1%", ""), ("m>1px", "fraction"), ("m>1px", "")])
def test_a_requirement_in_another_unit_is_refused(text, unit):
    with pytest.raises(InputError, match=f"'{text}' does not fit m"):
        parse_requirement(text).is_met("m", unit, 1.0)


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
        ("m>=50%", 0.5, True),
        ("m>=50%", 0.4999999, False),
        ("m>50%", 0.5, False),
        ("m<=0.5", 0.5, True),
        ("m<0.5", 0.5, False),
        ("m<0.5", 0.4999999, True),
    ],
)
def test_requirements_at_their_limit(text, value, met):
    assert parse_requirement(text).is_met("m", "fraction", value) is met


def policy(*gates):
    return Policy(tuple(map(parse_gate, gates)))


UNITS = {"accuracy": "fraction", "mac": "fraction", "invariance_radius": "px", "kappa": ""}


def test_the_last_gate_that_matches_counts():
    assert str(policy("*:1%", "accuracy:2pp").gate("accuracy", "fraction")) == "accuracy:2pp"
    assert str(policy("accuracy:2pp", "*:1%").gate("accuracy", "fraction")) == "*:1%"
    assert str(policy("*:1%", "accuracy:2pp").gate("mac", "fraction")) == "*:1%"
    assert policy("mac:1%").gate("accuracy", "fraction") is None


def test_a_pattern_is_for_the_metrics_that_its_margin_fits():
    # Every result holds metrics of all three units; '*:1pp' is the most usual gate of all.
    assert policy("*:1pp").metrics(UNITS) == list(UNITS)
    assert policy("*:1px").metrics(UNITS) == ["invariance_radius"]
    assert policy("*:1%").metrics(UNITS) == list(UNITS)
    assert policy("*:0.01").metrics(UNITS) == list(UNITS)
    both = policy("kappa:0.02", "*:1px")
    assert both.metrics(UNITS) == ["invariance_radius", "kappa"]
    assert str(both.gate("kappa", "")) == "kappa:0.02"


def test_a_name_asks_for_a_metric_that_is_not_there():
    assert policy("mac:1%", "fidelity:1pp").metrics({"accuracy": "fraction", "mac": "fraction"}) == ["mac", "fidelity"]
    assert policy("fid*:1pp").metrics({"accuracy": "fraction"}) == []


def test_the_default_gates_are_the_headline_metrics_with_their_own_margins():
    found = resolve_policy()
    assert not found.explicit
    there = dict.fromkeys(METRICS, "fraction")
    assert sorted(found.metrics(there)) == sorted(DEFAULT_GATES)
    assert found.metrics({"mac": "fraction", "foreign": ""}) == ["mac"]
    for id in METRICS:
        spec = METRICS.load(id).spec
        assert found.gate(id, spec.unit).margin(id, spec.unit, 0.5) == spec.default_margin > 0


def test_patterns_are_case_sensitive_and_keep_the_order():
    assert matching(["*_accuracy", "accuracy"], ["accuracy", "Accuracy", "kappa", "worst_case_accuracy"]) == [
        "accuracy",
        "worst_case_accuracy",
    ]
    assert matching(["[!a]*"], UNITS) == ["mac", "invariance_radius", "kappa"]


@pytest.fixture
def project(tmp_path):
    path = tmp_path / "pyproject.toml"

    def write(text):
        path.write_text(text)
        return path

    return write


TABLE = """
[tool.cnnshift.gates]
fail_if = ["accuracy:2pp", "mac:3%"]
require = ["accuracy>=90%"]
on_inconclusive = "fail"
"""


def test_the_policy_of_a_project(project):
    found = resolve_policy(project=project(TABLE))
    assert [str(gate) for gate in found.gates] == ["accuracy:2pp", "mac:3%"]
    assert [str(one) for one in found.requirements] == ["accuracy>=90%"]
    assert found.on_inconclusive == "fail"
    assert found.explicit


def test_flags_say_more_than_the_project_each_for_itself(project):
    path = project(TABLE)
    found = resolve_policy(["kappa:0.1"], project=path)
    assert [str(gate) for gate in found.gates] == ["kappa:0.1"]
    assert [str(one) for one in found.requirements] == ["accuracy>=90%"]
    found = resolve_policy((), ["mac<5%"], "warn", project=path)
    assert [str(gate) for gate in found.gates] == ["accuracy:2pp", "mac:3%"]
    assert [str(one) for one in found.requirements] == ["mac<5%"]
    assert found.on_inconclusive == "warn"


@pytest.mark.parametrize("text", ["", "[tool.other]", "[tool.cnnshift]\nmax_shift = 3", "[tool.cnnshift.gates]"])
def test_without_gates_in_the_project_the_default_holds(project, text):
    assert resolve_policy(project=project(text)) == resolve_policy(project=project("") / "missing")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.cnnshift.gates]\nfailif = []", "Unknown gate setting 'failif'.*Did you mean 'fail_if'"),
        ("[tool.cnnshift]\ngates = ['accuracy:1pp']", "tool.cnnshift.gates is .* a table is needed"),
        ("[tool.cnnshift.gates]\nfail_if = 'accuracy:1pp'", "fail_if is 'accuracy:1pp'; a list of texts"),
        ("[tool.cnnshift.gates]\nrequire = [1]", "require is .1.; a list of texts"),
        ("[tool.cnnshift.gates]\nfail_if = ['accuracy']", "'accuracy' is not METRIC:MARGIN"),
        ("[tool.cnnshift.gates]\nrequire = ['accuracy']", "'accuracy' is not METRIC>=VALUE"),
        ("[tool.cnnshift.gates]\non_inconclusive = 'pas'", "'pas'; allowed: warn, fail, pass. Did you mean 'pass'"),
        ("[tool.cnnshift.gates]\non_inconclusive = ['fail']", "Unknown value of on-inconclusive"),
        ("[tool.cnnshift.gates", "is not TOML"),
    ],
)
def test_mistakes_in_the_project_are_told(project, text, words):
    with pytest.raises(InputError, match=words):
        resolve_policy(project=project(text))


def test_all_unknown_keys_are_told_at_once(project):
    with pytest.raises(InputError, match=r"'a'[\s\S]*'b'"):
        resolve_policy(project=project("[tool.cnnshift.gates]\na = 1\nb = 2"))


@pytest.mark.parametrize("choice", ["ignore", ""])
def test_on_inconclusive_is_one_of_three(choice):
    with pytest.raises(InputError, match="allowed: warn, fail, pass"):
        resolve_policy(on_inconclusive=choice)


def test_a_pattern_does_not_judge_a_diagnosis():
    policy = Policy((Gate("*", 0.01, "pp"),))
    there = {"accuracy": "fraction", "phase_spectrum": "fraction"}
    assert policy.metrics(there) == ["accuracy"]
    named = Policy((Gate("phase_spectrum", 0.01, "pp"),))
    assert named.metrics(there) == ["phase_spectrum"]
