"""The self-test holds here, and finds what it is there to find: each broken on purpose."""

import json
import sys

import jax
import jax.numpy as jnp
import pytest

from cnnshift.cli import main
from cnnshift.models.layers import correlation
from cnnshift.selftest import identities, run
from cnnshift.selftest.identities import IDENTITIES
from cnnshift.shifts.base import ShiftProtocol

# One process measures what the tests of this file share.
pytestmark = pytest.mark.xdist_group("selftest")


@pytest.fixture
def untraced():
    """Programs that were traced before a part was broken must not be used after it, nor the other way round."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def outcomes():
    """Compiled as the tests are; `make test` runs the installed command first, compiled as users compile it."""
    return {outcome.name: outcome for outcome in run.run_identities()}


@pytest.mark.parametrize("name", IDENTITIES)
def test_every_identity_holds(name, outcomes):
    outcome = outcomes[name]
    assert outcome.deviation is not None, outcome.reason
    assert outcome.holds, outcome.deviation


def test_reduced_precision_is_found(monkeypatch):
    def tf32(a, b):
        # Ten bits of the mantissa, as the tensor cores of a GPU keep them.
        cut = lambda x: (x.view("i4") & ~0x1FFF).view("f4")  # noqa: E731
        return jnp.asarray(cut(a)) @ jnp.asarray(cut(b))

    monkeypatch.setattr(identities, "_product", tf32)
    deviation = IDENTITIES["P"].measure()
    assert deviation > 1e-5
    assert not IDENTITIES["P"].holds(deviation)


def test_a_wrong_padding_is_found(monkeypatch, untraced):
    monkeypatch.setattr(correlation, "pad_margins", lambda x, margins, padding: correlation.zeros(x, margins))
    for name in ("K1", "K1b"):
        assert not IDENTITIES[name].holds(IDENTITIES[name].measure()), name


def test_a_wrong_direction_is_found(monkeypatch, untraced):
    move = ShiftProtocol.move
    monkeypatch.setattr(ShiftProtocol, "move", lambda self, prepared, d: move(self, prepared, -d))
    assert IDENTITIES["T"].measure() > 0


def test_an_identity_that_raises_has_failed(monkeypatch):
    def broken():
        raise RuntimeError("no such kernel\nand more")

    monkeypatch.setattr(run, "IDENTITIES", {"X": identities.Identity("it works", broken)})
    (outcome,) = run.run_identities()
    assert not outcome.holds
    assert outcome.reason == "RuntimeError: no such kernel"


@pytest.mark.parametrize(("limit", "code"), [(1.0, 0), (0.0, 1)])
def test_the_command(limit, code, monkeypatch, capfd):
    monkeypatch.setattr(run, "IDENTITIES", {"X": identities.Identity("half is small", lambda: 0.5, limit)})
    monkeypatch.setattr(sys, "argv", ["cnnshift", "selftest", "--format", "json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    (answer,) = json.loads(capfd.readouterr().out)["identities"]
    assert (answer["deviation"], answer["holds"]) == (0.5, code == 0)
