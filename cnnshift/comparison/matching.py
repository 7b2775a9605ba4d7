"""Which runs of two results may be compared: the same model under the same contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cnnshift.results.aggregate import ModelRuns, group_by_contract
from cnnshift.results.schema import ProtocolRecord, Result, Run
from cnnshift.results.validation import same_conditions


@dataclass(frozen=True, slots=True)
class Pair:
    """A model's runs in the baseline, and those to compare with them."""

    model: str
    base: tuple[Run, ...]
    candidate: tuple[Run, ...]

    @property
    def protocol(self) -> ProtocolRecord:
        """That of both sides."""
        return self.base[0].protocol


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A model's runs without a counterpart, and why."""

    model: str
    runs: tuple[Run, ...]
    verdict: Literal["missing", "incomparable"]
    reason: str

    @property
    def protocol(self) -> ProtocolRecord:
        """That of the runs there are."""
        return self.runs[0].protocol


def match_results(base: Result, candidate: Result) -> Iterator[Pair | Unmatched]:
    """Every model and contract of the baseline, then what only the candidate has.

    A row of the baseline whose contract the candidate lacks is incomparable where the candidate measured that model
    under that protocol on that data set in another way, and missing where it did not measure it at all.
    """
    ours = [(row.model, row.runs[0].contract) for row in _rows(base)]
    theirs = {(row.model, row.runs[0].contract): row for row in _rows(candidate)}
    free = {key: row for key, row in theirs.items() if key not in ours}
    used = set()
    for row in _rows(base):
        key = row.model, row.runs[0].contract
        if key in theirs:
            used.add(key)
            counterpart = theirs[key].runs
            # Every run of one file under one contract was measured alike; two files may still lie.
            if same_conditions(row.runs[0], counterpart[0]) and _prepared(row.runs[0]) == _prepared(counterpart[0]):
                yield Pair(row.model, row.runs, counterpart)
            else:
                yield Unmatched(row.model, row.runs, "incomparable", _what_differs(row.runs[0], counterpart[0]))
            continue
        like = next((key for key, other in free.items() if _resembles(other, row)), None)
        if like:
            used.add(like)
            yield Unmatched(row.model, row.runs, "incomparable", _what_differs(row.runs[0], free.pop(like).runs[0]))
        else:
            yield Unmatched(row.model, row.runs, "missing", "the candidate has no such run")
    for key, row in theirs.items():
        if key not in used:
            yield Unmatched(row.model, row.runs, "missing", "the baseline has no such run")


def _rows(result: Result) -> Iterator[ModelRuns]:
    for group in group_by_contract(result):
        yield from group.models


def _resembles(a: ModelRuns, b: ModelRuns) -> bool:
    first, second = a.runs[0], b.runs[0]
    return (a.model, first.protocol.name, _source(first)) == (b.model, second.protocol.name, _source(second))


def _source(run: Run) -> str:
    """The data set without its options."""
    return run.dataset.name.partition(":")[0]


def _prepared(run: Run) -> object:
    """How the images of a network that came with its weights were prepared."""
    return run.training.recipe.get("preprocess")


def _what_differs(base: Run, candidate: Run) -> str:
    """The parts of the contract that differ, with both values."""
    differences = []
    for part in ("dataset", "protocol"):
        before, after = (getattr(run, part).model_dump() for run in (base, candidate))
        # Loss follows from the rest, and a fingerprint says nothing to people.
        changed = [key for key in before if before[key] != after[key] and key != "information_loss"]
        differences += [
            f"{part} {key}" if key == "fingerprint" else f"{part} {key} {before[key]} → {after[key]}" for key in changed
        ]
    if _prepared(base) != _prepared(candidate):
        differences.append(f"images prepared with {_prepared(base)} → {_prepared(candidate)}")
    return f"measured otherwise: {', '.join(differences) or 'the protocol is of another version'}"
