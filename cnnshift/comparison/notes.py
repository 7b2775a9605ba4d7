"""Notes on a comparison: circumstances that the differences of the metrics do not show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cnnshift.comparison.gates import Policy, matching_ids
from cnnshift.comparison.matching import MatchedRuns, UnmatchedRuns
from cnnshift.results.files import shorten
from cnnshift.results.schema import Result

Matches = Sequence[tuple[str, MatchedRuns | UnmatchedRuns]]
"""With the names of the candidates."""


def result_notes(results: Mapping[str, Result], matches: Matches) -> Iterator[str]:
    """Yield notes on incomplete results, and on differences of device, training and seeds.

    The first of the results is the baseline.
    """
    base = next(iter(results.values()))
    for name, result in results.items():
        yield from _notes_on_result(name, result, base)
    matched = [(name, one) for name, one in matches if isinstance(one, MatchedRuns)]
    for name, one in matched:
        yield from _notes_on_training(name, one)
    if any(_has_single_other_network(one) for _, one in matched):
        yield (
            "The weights differ, and one side has a single training run: the verdicts hold for these networks, not for "
            "their training procedure. Compare procedures with bench --seeds 3 or more, or code with bench --weights."
        )


def gate_notes(policy: Policy, matches: Matches) -> Iterator[str]:
    """Yield a note on metrics that match the pattern of a gate, but not its unit."""
    matched = [one for _, one in matches if isinstance(one, MatchedRuns)]
    units = {metric.id: metric.unit for one in matched for run in one.base for metric in run.metrics}
    matched_ids = {id for gate in policy.gates for id in matching_ids(gate.pattern, units)}
    if ungated := [id for id in units if id in matched_ids and policy.gate(id, units[id]) is None]:
        yield f"No gate applies to the unit of {', '.join(ungated)}; use a margin in pp, in % or without a unit."


def _notes_on_result(name: str, result: Result, base: Result) -> Iterator[str]:
    if result.status != "complete":
        finished = len(result.runs)
        yield f"{name} is {result.status}: it has {finished} finished run{'' if finished == 1 else 's'}."
    for key in ("device_kind", "matmul_precision"):
        before, after = base.environment.get(key), result.environment.get(key)
        if before != after:
            yield f"The {key.replace('_', ' ')} of {name} differs: {_unquoted(before)} → {_unquoted(after)}."


def _notes_on_training(name: str, matched: MatchedRuns) -> Iterator[str]:
    before, after = matched.base[0].training.recipe, matched.runs[0].training.recipe
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    seeds = [", ".join(str(run.seed) for run in runs) for runs in (matched.base, matched.runs)]
    if seeds[0] != seeds[1]:
        yield f"The seeds of {matched.model} differ: {seeds[0]} in the baseline, {seeds[1]} in {name}."
    if changed:
        changes = (f"{_unquoted(key)} {_unquoted(before.get(key))} → {_unquoted(after.get(key))}" for key in changed)
        yield f"The training of {matched.model} differs: {', '.join(changes)}."


def _unquoted(value: object) -> str:
    """Return a value of any type from a file on one line, without the quotes of a string."""
    return shorten(value).removeprefix("'").removesuffix("'")


def _has_single_other_network(matched: MatchedRuns) -> bool:
    base, candidate = ({run.weights_digest for run in runs} for runs in (matched.base, matched.runs))
    return min(len(matched.base), len(matched.runs)) == 1 and base != candidate
