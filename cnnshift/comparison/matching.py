"""Match the runs of two results: the same model under the same contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cnnshift.results.aggregate import ModelRuns, group_by_contract
from cnnshift.results.schema import Result, Run
from cnnshift.results.validation import same_conditions


@dataclass(frozen=True, slots=True)
class MatchedRuns:
    """The runs of one model in the baseline (`base`) and in the candidate (`runs`)."""

    model: str
    base: tuple[Run, ...]
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class UnmatchedRuns:
    """The runs of one model that have no counterpart, with the reason."""

    model: str
    runs: tuple[Run, ...]
    verdict: Literal["missing", "incomparable"]
    reason: str


def match_results(base: Result, candidate: Result) -> Iterator[MatchedRuns | UnmatchedRuns]:
    """Yield every model and contract of the baseline, then those that only the candidate has.

    If the candidate lacks a contract of the baseline, the runs are incomparable if it measured the model under the same
    protocol and on the same data set with other settings, and missing otherwise.
    """
    base_models, candidates = _by_model_and_contract(base), _by_model_and_contract(candidate)
    unused = {key: one for key, one in candidates.items() if key not in base_models}
    for key, one in base_models.items():
        run = one.runs[0]
        if counterpart := candidates.get(key):
            other = counterpart.runs[0]
            # Two files may give the same contract to different conditions.
            if same_conditions(run, other) and _preprocessing(run) == _preprocessing(other):
                yield MatchedRuns(one.model, one.runs, counterpart.runs)
            else:
                yield UnmatchedRuns(one.model, one.runs, "incomparable", _describe_differences(run, other))
        elif similar := next((key for key, other in unused.items() if _kind(other.runs[0]) == _kind(run)), None):
            other = unused.pop(similar).runs[0]
            yield UnmatchedRuns(one.model, one.runs, "incomparable", _describe_differences(run, other))
        else:
            yield UnmatchedRuns(one.model, one.runs, "missing", "not measured in the candidate")
    for one in unused.values():
        yield UnmatchedRuns(one.model, one.runs, "missing", "not measured in the baseline")


def _by_model_and_contract(result: Result) -> dict[tuple[str, str], ModelRuns]:
    return {(one.model, one.runs[0].contract): one for group in group_by_contract(result) for one in group.models}


def _kind(run: Run) -> tuple[str, str, str]:
    """Return model, protocol and data set without its options."""
    return run.model, run.protocol.name, run.dataset.name.partition(":")[0]


def _preprocessing(run: Run) -> object:
    """Return the preprocessing of a pretrained model."""
    return run.training.recipe.get("preprocess")


def _describe_differences(base: Run, candidate: Run) -> str:
    differences = []
    for part in ("dataset", "protocol"):
        before, after = (getattr(run, part).model_dump() for run in (base, candidate))
        for key, value in before.items():
            if value == after[key] or key in ("information_loss", "wraps"):
                continue
            differences.append(f"{part} {key}" if key == "fingerprint" else f"{part} {key} {value} → {after[key]}")
    if _preprocessing(base) != _preprocessing(candidate):
        differences.append(f"preprocessing {_preprocessing(base)} → {_preprocessing(candidate)}")
    return f"measured under other conditions: {', '.join(differences) or 'another version of the protocol'}"
