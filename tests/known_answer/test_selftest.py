"""The self-test: it passes here, and fails where an error is injected."""

import html
import json
import sys

import jax
import jax.numpy as jnp
import pytest

from cnnshift.catalog import FORMATS
from cnnshift.cli import main
from cnnshift.models.layers import correlation
from cnnshift.render.document import Style
from cnnshift.render.documents.selftest import selftest_document
from cnnshift.results.selftest import KnownAnswerRecord
from cnnshift.selftest import known_answers
from cnnshift.selftest.known_answers import KNOWN_ANSWERS
from cnnshift.shifts.base import ShiftProtocol

# The tests share a module fixture, so that one process should run them.
pytestmark = pytest.mark.xdist_group("selftest")


@pytest.fixture
def untraced():
    """Clear the compiled programs before and after a test that patches a layer."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def outcomes():
    """Results compiled with the flags of the tests; `make test` also runs the installed command without them."""
    return {outcome.name: outcome for outcome in known_answers.run_selftest()}


@pytest.mark.parametrize("name", KNOWN_ANSWERS)
def test_every_known_answer_holds(name, outcomes):
    outcome = outcomes[name]
    assert outcome.deviation is not None, outcome.reason
    assert outcome.holds, outcome.deviation


def test_reduced_precision_is_detected(monkeypatch):
    def tf32(a, b):
        # TF32 keeps ten bits of the mantissa.
        cut = lambda x: (x.view("i4") & ~0x1FFF).view("f4")  # noqa: E731
        return jnp.asarray(cut(a)) @ jnp.asarray(cut(b))

    monkeypatch.setattr(known_answers, "_product", tf32)
    deviation = KNOWN_ANSWERS["P"].measure()
    assert deviation > 1e-5
    assert not KNOWN_ANSWERS["P"].holds(deviation)


def test_a_wrong_padding_is_detected(monkeypatch, untraced):
    monkeypatch.setattr(correlation, "pad_margins", lambda x, margins, padding: correlation.pad_zeros(x, margins))
    for name in ("K1", "K1b"):
        assert not KNOWN_ANSWERS[name].holds(KNOWN_ANSWERS[name].measure()), name


def test_a_wrong_direction_is_detected(monkeypatch, untraced):
    move = ShiftProtocol.move
    monkeypatch.setattr(ShiftProtocol, "move", lambda self, prepared, d: move(self, prepared, -d))
    assert KNOWN_ANSWERS["T"].measure() > 0


def test_a_known_answer_that_raises_fails(monkeypatch):
    def broken():
        raise RuntimeError("no such kernel\nand more")

    monkeypatch.setattr(known_answers, "KNOWN_ANSWERS", {"X": known_answers.KnownAnswer("it works", broken)})
    (outcome,) = known_answers.run_selftest()
    assert not outcome.holds
    assert outcome.reason == "RuntimeError: no such kernel"


@pytest.mark.parametrize(("limit", "code"), [(1.0, 0), (0.0, 1)])
def test_the_command(limit, code, monkeypatch, capfd):
    monkeypatch.setattr(
        known_answers, "KNOWN_ANSWERS", {"X": known_answers.KnownAnswer("half is small", lambda: 0.5, limit)}
    )
    monkeypatch.setattr(sys, "argv", ["cnnshift", "selftest", "--format", "json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    (answer,) = json.loads(capfd.readouterr().out)["known_answers"]
    assert (answer["deviation"], answer["holds"]) == (0.5, code == 0)


def test_a_deviation_that_is_not_finite_fails(monkeypatch):
    answer = known_answers.KnownAnswer("it is finite", lambda: float("inf"), at_least=True)
    monkeypatch.setattr(known_answers, "KNOWN_ANSWERS", {"X": answer})
    (outcome,) = known_answers.run_selftest()
    assert not outcome.holds
    assert (outcome.deviation, outcome.reason) == (None, "the deviation is inf")


@pytest.mark.parametrize("format", ["github", "junit"])
def test_findings_state_the_limit_once(format):
    answers = [
        KnownAnswerRecord(name=name, title="t", deviation=deviation, limit=1e-5, at_least=False, holds=deviation == 0)
        for name, deviation in (("X", 0.5), ("Y", 0.0))
    ]
    device = {"device_kind": "cpu", "dtype": "float32", "matmul_precision": "highest"}
    text = html.unescape(FORMATS.load(format)(selftest_document(answers, device, 1.0), Style()))
    assert "deviation 0.5, allowed ≤ 1e-05." in text
    assert text.count("allowed") == (2 if format == "junit" else 1)
