"""Properties of every comparison, for arbitrary values."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnshift.comparison.compare import compare_models, compare_results
from cnnshift.comparison.gates import resolve_policy
from tests.factories import make_result, make_run

GATES = ["*:2pp"]
SWAPPED = {"regressed": "improved", "improved": "regressed"}

outcomes = st.sampled_from([0.0, 1.0])
fractions = st.floats(0, 1, width=32)
partly = st.one_of(st.just(float("nan")), fractions)


@st.composite
def sides(draw):
    """Values of four metrics, base and candidate, of one or more seeds."""
    n = draw(st.integers(2, 16))
    seeds = [draw(st.integers(1, 2)) for _ in range(2)]

    def table(elements):
        values = draw(hnp.arrays(np.float64, n, elements=elements))
        if np.isnan(values).all():
            values[0] = 0.5
        return values

    kinds = {"accuracy": outcomes, "mac": fractions, "conditional_consistency": partly}
    return [[{id: table(elements) for id, elements in kinds.items()} for _ in range(count)] for count in seeds]


def result(side, order=None):
    runs = [
        make_run({id: values if order is None else values[order] for id, values in one.items()}, seed=seed)
        for seed, one in enumerate(side)
    ]
    return make_result(*runs)


def found(base, candidate, gates=GATES):
    policy = resolve_policy(gates, project=Path("none.toml"))
    return compare_results({"base": base, "candidate": candidate}, policy)


def close(a, b):
    """Return whether two numbers are equal up to rounding, or both absent."""
    return a == b if None in (a, b) else a == pytest.approx(b, rel=1e-4, abs=1e-9)


def rows(comparison):
    return {row.metric: row for row in comparison.rows}


@settings(max_examples=10)
@given(sides())
def test_a_result_is_unchanged_from_itself(both):
    one = result(both[0])
    comparison = found(one, one, ["*:0"])
    assert comparison.status == "passed"
    assert {row.verdict for row in comparison.rows} == {"unchanged"}
    for row in comparison.rows:
        assert row.difference == 0
        assert row.p == 1 or row.p is None
        assert row.ci95 is None or row.ci95[0] <= 0 <= row.ci95[1]


@settings(max_examples=10)
@given(sides())
def test_swapping_the_sides_reverses_differences_and_verdicts(both):
    base, candidate = map(result, both)
    forward, backward = rows(found(base, candidate)), rows(found(candidate, base))
    assert forward.keys() == backward.keys() == {"accuracy", "mac", "conditional_consistency"}
    for id, row in forward.items():
        other = backward[id]
        assert row.difference == pytest.approx(-other.difference, abs=1e-12)
        assert (row.baseline_value, row.candidate_value) == (other.candidate_value, other.baseline_value)
        assert row.verdict == SWAPPED.get(other.verdict, other.verdict)
        assert close(row.p, other.p)
        assert close(row.ci95, other.ci95 and (-other.ci95[1], -other.ci95[0]))
        assert row.ci95 is None or row.ci95[0] - 1e-12 <= row.difference <= row.ci95[1] + 1e-12


@settings(max_examples=10)
@given(sides(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(both, random):
    order = list(range(both[0][0]["accuracy"].size))
    random.shuffle(order)
    plain = rows(found(*map(result, both)))
    moved = rows(found(*(result(side, order) for side in both)))
    for id, row in plain.items():
        assert moved[id].difference == pytest.approx(row.difference, abs=1e-12)
        assert close(moved[id].ci95, row.ci95)
        assert close(moved[id].p, row.p)
        assert moved[id].verdict == row.verdict


@settings(max_examples=10)
@given(sides(), st.lists(st.floats(0, 50), min_size=2, max_size=3))
def test_a_larger_margin_only_turns_rows_into_unchanged_ones(both, margins):
    base, candidate = map(result, both)
    before = None
    for margin in sorted(margins):
        now = {id: row.verdict for id, row in rows(found(base, candidate, [f"*:{margin!r}pp"])).items()}
        for id, verdict in now.items():
            assert before is None or verdict in (before[id], "unchanged")
        before = now


@settings(max_examples=10)
@given(sides())
def test_two_models_of_one_result_compare_as_two_results(both):
    policy = resolve_policy(GATES, project=Path("none.toml"))
    base, candidate = map(result, both)
    renamed = [run.model_copy(update={"model": "other"}) for run in candidate.runs]
    among = rows(compare_models("r", make_result(*base.runs, *renamed), policy))
    for id, row in rows(found(base, candidate)).items():
        assert among[id].verdict == row.verdict
        assert among[id].difference == row.difference
        assert among[id].ci95 == row.ci95
