"""Parsing of gates and requirements, their units, and the resolution of a policy."""

import pytest

from cnnshift.catalog import METRICS
from cnnshift.comparison.gates import (
    Gate,
    Policy,
    Requirement,
    matching_ids,
    parse_gate,
    parse_requirement,
    resolve_policy,
)
from cnnshift.config import HEADLINE_METRICS
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
def test_gates_are_parsed(text, gate):
    assert parse_gate(text) == gate
    assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize(
    "text",
    ["", ":", "accuracy", "accuracy:", ":1pp", "accuracy:-1pp", "accuracy:1 pp", "accuracy:1ppp", "accuracy:pp",
     "accuracy:1e999", "accuracy:nan", "accuracy:inf", "accuracy:1,5pp", "accuracy=1pp", "accuracy:1pp:2pp",
     "accuracy :1pp", "accuracy:1PP", "a b:1", "accuracy:1pp\nmac:1%", "accuracy:١pp", "accuracy:0x1"],
)  # fmt: skip
def test_invalid_gates_are_refused_with_examples(text):
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
def test_requirements_are_parsed(text, requirement):
    assert parse_requirement(text) == requirement
    assert parse_requirement(str(requirement)) == requirement


@pytest.mark.parametrize(
    "text",
    ["", "accuracy", "accuracy=1", "accuracy==1", "accuracy>", ">=1", "accuracy>=1pp", "accuracy=>1",
     "accuracy>=1e999", "accuracy>=nan", "accuracy>=high", "accuracy>=1>=2"],
)  # fmt: skip
def test_invalid_requirements_are_refused_with_examples(text):
    with pytest.raises(InputError, match=r"is not METRIC>=VALUE .*accuracy>=97%"):
        parse_requirement(text)


@pytest.mark.parametrize("text", ["accuracy>=99.99999%", "kappa<0.123456789", "accuracy>=97%"])
def test_requirements_are_printed_in_full_precision(text):
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
        # Metrics that match a pattern in pp and are not fractions keep their default margins.
        ("*:2pp", "kappa", "", 0.5, 0.01),
        ("*:2pp", "invariance_radius", "px", 4.0, 0.5),
    ],
)
def test_margins_are_converted_to_the_unit_of_the_metric(text, id, unit, base, margin):
    assert parse_gate(text).margin(id, unit, base) == pytest.approx(margin, abs=1e-15)


@pytest.mark.parametrize(
    ("gate", "id", "unit", "message"),
    [
        ("kappa:2pp", "kappa", "", "not a fraction"),
        ("invariance_radius:1pp", "invariance_radius", "px", "not a fraction"),
        ("accuracy:1", "accuracy", "fraction", "can never fail"),
        ("*:100pp", "accuracy", "fraction", "can never fail"),
    ],
)
def test_meaningless_margins_are_refused(gate, id, unit, message):
    with pytest.raises(InputError, match=message):
        parse_gate(gate).margin(id, unit, 0.5)


@pytest.mark.parametrize("text", ["accuracy>=97", "accuracy>=101%", "accuracy>=-1"])
def test_limits_outside_0_and_1_are_refused_for_fractions(text):
    with pytest.raises(InputError, match=r"write 97% or 0\.97"):
        parse_requirement(text).is_met("accuracy", "fraction", 0.5)


@pytest.mark.parametrize("unit", ["fraction", ""])
def test_a_margin_in_pixels_applies_to_lengths_only(unit):
    with pytest.raises(InputError, match="The gate 'm:1px' does not apply to m, which is not a length in pixels"):
        parse_gate("m:1px").margin("m", unit, 1.0)


@pytest.mark.parametrize(("text", "unit"), [("m>1%", "px"), ("m>1%", ""), ("m>1px", "fraction"), ("m>1px", "")])
def test_a_requirement_in_another_unit_is_refused(text, unit):
    with pytest.raises(InputError, match=f"The requirement '{text}' does not apply to m"):
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


def test_the_last_matching_gate_applies():
    assert str(policy("*:1%", "accuracy:2pp").gate("accuracy", "fraction")) == "accuracy:2pp"
    assert str(policy("accuracy:2pp", "*:1%").gate("accuracy", "fraction")) == "*:1%"
    assert str(policy("*:1%", "accuracy:2pp").gate("mac", "fraction")) == "*:1%"
    assert policy("mac:1%").gate("accuracy", "fraction") is None


def test_a_pattern_applies_to_metrics_that_its_unit_fits():
    # Every result has metrics of all three units.
    assert policy("*:1pp").metrics(UNITS) == list(UNITS)
    assert policy("*:1px").metrics(UNITS) == ["invariance_radius"]
    assert policy("*:1%").metrics(UNITS) == list(UNITS)
    assert policy("*:0.01").metrics(UNITS) == list(UNITS)
    both = policy("kappa:0.02", "*:1px")
    assert both.metrics(UNITS) == ["invariance_radius", "kappa"]
    assert str(both.gate("kappa", "")) == "kappa:0.02"


def test_an_id_selects_a_metric_that_the_baseline_lacks():
    assert policy("mac:1%", "fidelity:1pp").metrics({"accuracy": "fraction", "mac": "fraction"}) == ["mac", "fidelity"]
    assert policy("fid*:1pp").metrics({"accuracy": "fraction"}) == []


def test_the_default_gates_are_the_headline_metrics_with_their_own_margins():
    found = resolve_policy()
    assert not found.gates
    units = dict.fromkeys(METRICS, "fraction")
    assert sorted(found.metrics(units)) == sorted(HEADLINE_METRICS)
    assert found.metrics({"mac": "fraction", "foreign": ""}) == ["mac"]
    for id in METRICS:
        spec = METRICS.load(id).spec
        assert found.gate(id, spec.unit).margin(id, spec.unit, 0.5) == spec.default_margin > 0


def test_patterns_are_case_sensitive_and_keep_the_order():
    assert matching_ids("*accuracy", ["accuracy", "Accuracy", "kappa", "worst_case_accuracy"]) == [
        "accuracy",
        "worst_case_accuracy",
    ]
    assert matching_ids("[!a]*", UNITS) == ["mac", "invariance_radius", "kappa"]


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
    assert found.gates


def test_each_flag_overrides_the_project(project):
    path = project(TABLE)
    found = resolve_policy(["kappa:0.1"], project=path)
    assert [str(gate) for gate in found.gates] == ["kappa:0.1"]
    assert [str(one) for one in found.requirements] == ["accuracy>=90%"]
    found = resolve_policy((), ["mac<5%"], "warn", project=path)
    assert [str(gate) for gate in found.gates] == ["accuracy:2pp", "mac:3%"]
    assert [str(one) for one in found.requirements] == ["mac<5%"]
    assert found.on_inconclusive == "warn"


@pytest.mark.parametrize("text", ["", "[tool.other]", "[tool.cnnshift]\nmax_shift = 3", "[tool.cnnshift.gates]"])
def test_without_gates_in_the_project_the_default_applies(project, text):
    assert resolve_policy(project=project(text)) == resolve_policy(project=project("") / "missing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.cnnshift.gates]\nfailif = []", "Unknown gate setting 'failif'.*Did you mean 'fail_if'"),
        ("[tool.cnnshift]\ngates = ['accuracy:1pp']", "tool.cnnshift.gates is .* it must be a table"),
        ("[tool.cnnshift.gates]\nfail_if = 'accuracy:1pp'", "fail_if is 'accuracy:1pp'; it must be a list of strings"),
        ("[tool.cnnshift.gates]\nrequire = [1]", "require is .1.; it must be a list of strings"),
        ("[tool.cnnshift.gates]\nfail_if = ['accuracy']", "'accuracy' is not METRIC:MARGIN"),
        ("[tool.cnnshift.gates]\nrequire = ['accuracy']", "'accuracy' is not METRIC>=VALUE"),
        ("[tool.cnnshift.gates]\non_inconclusive = 'pas'", "'pas'; allowed: warn, fail, pass. Did you mean 'pass'"),
        ("[tool.cnnshift.gates]\non_inconclusive = ['fail']", "Unknown value of on-inconclusive"),
        ("[tool.cnnshift.gates", "is not TOML"),
    ],
)
def test_invalid_project_settings_are_refused(project, text, message):
    with pytest.raises(InputError, match=message):
        resolve_policy(project=project(text))


def test_all_unknown_keys_are_reported_at_once(project):
    with pytest.raises(InputError, match=r"'a'[\s\S]*'b'"):
        resolve_policy(project=project("[tool.cnnshift.gates]\na = 1\nb = 2"))


@pytest.mark.parametrize("choice", ["ignore", ""])
def test_on_inconclusive_is_one_of_three(choice):
    with pytest.raises(InputError, match="allowed: warn, fail, pass"):
        resolve_policy(on_inconclusive=choice)


def test_a_pattern_does_not_match_diagnostic_metrics():
    policy = Policy((Gate("*", 0.01, "pp"),))
    units = {"accuracy": "fraction", "phase_spectrum": "fraction"}
    assert policy.metrics(units) == ["accuracy"]
    named = Policy((Gate("phase_spectrum", 0.01, "pp"),))
    assert named.metrics(units) == ["phase_spectrum"]
