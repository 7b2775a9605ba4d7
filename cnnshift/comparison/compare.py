"""Compare results with a baseline, or the models of one result with a reference."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Literal

import cnnshift
from cnnshift.catalog import METRICS
from cnnshift.comparison.difference import metric_difference
from cnnshift.comparison.exact import changed_predictions
from cnnshift.comparison.gates import Policy, matching_ids
from cnnshift.comparison.matching import MatchedRuns, UnmatchedRuns, match_results
from cnnshift.comparison.notes import Matches, gate_notes, result_notes
from cnnshift.comparison.ranking import rank_models
from cnnshift.comparison.records import ChangedPrediction, ComparedRow, Comparison, RequirementResult, Verdict
from cnnshift.comparison.verdicts import assign_verdicts, overall_status, worst_first
from cnnshift.errors import InputError
from cnnshift.registry import unknown
from cnnshift.results.aggregate import group_by_contract, seed_mean
from cnnshift.results.schema import MetricResult, Result
from cnnshift.results.validation import differing_field
from cnnshift.spec import ModelSpec


def compare_results(results: Mapping[str, Result], policy: Policy, *, exact: bool = False) -> Comparison:
    """Compare every other result with the first; if `exact`, the same weights must give the same predictions.

    Raises:
        InputError: A gate or requirement has an unknown metric, or a unit that the metric does not have.
    """
    (baseline, base), *others = results.items()
    matches = [(name, match) for name, other in others for match in match_results(base, other)]
    notes = list(result_notes(results, matches))
    return _compare("results", baseline, dict(others), matches, policy, exact=exact, notes=notes)


def compare_models(name: str, result: Result, policy: Policy, *, reference: str | None = None) -> Comparison:
    """Compare the models of one result, under each of its contracts, with `reference`, by default the first model.

    Raises:
        InputError: There is no run or no such model, and as in `compare_results`.
    """
    groups = group_by_contract(result)
    models = list(dict.fromkeys(run.model for run in result.runs))
    if not models:
        raise InputError(f"{name} has no finished run to compare.")
    chosen = models[0] if reference is None else _find_model(reference, models)
    matches: list[tuple[str, MatchedRuns | UnmatchedRuns]] = []
    for group in groups:
        runs = {one.model: one.runs for one in group.models}
        base = runs.pop(chosen, None)
        reason = f"the reference {chosen} was not measured under the same conditions"
        for model, others in runs.items():
            match = MatchedRuns(model, base, others) if base else UnmatchedRuns(model, others, "missing", reason)
            matches.append((model, match))
    comparison = _compare("models", chosen, {name: result}, matches, policy)
    return comparison.model_copy(update={"ranking": [one for group in groups for one in rank_models(group)]})


def _find_model(reference: str, models: Sequence[str]) -> str:
    """Find a model by its spec; the order of the options does not matter."""
    if reference in models:
        return reference
    for model in models:
        # The name of an external model may not be a spec.
        with contextlib.suppress(InputError):
            if ModelSpec.parse(model) == ModelSpec.parse(reference):
                return model
    raise InputError(unknown("reference", reference, models))


def _compare(
    kind: Literal["results", "models"],
    baseline: str,
    candidates: Mapping[str, Result],
    matches: Matches,
    policy: Policy,
    *,
    exact: bool = False,
    notes: Sequence[str] = (),
) -> Comparison:
    _check_patterns(policy, matches, candidates)
    # Models differ on purpose: between them, only gates that were given for this comparison fail.
    gated = kind == "results" or policy.from_arguments
    rows = [row for name, match in matches for row in _compare_metrics(baseline, name, match, policy)]
    rows = _without_repeated_accuracy(rows)
    changed: list[ChangedPrediction] = []
    exactly_compared = 0
    for name, match in matches:
        if exact and isinstance(match, MatchedRuns):
            try:
                changed += changed_predictions(match)
                exactly_compared += 1
            except ValueError as error:
                reason = f"exact comparison: {error}"
                rows.append(_row(baseline, name, match, "incomparable", reason, id="predictions"))
    rows = sorted(assign_verdicts(rows), key=worst_first)
    requirements = [one for name, result in candidates.items() for one in _check_requirements(name, result, policy)]
    status = overall_status(rows, requirements, changed, policy, gated=gated)
    # Without given gates, the default gates that applied to a row.
    gates = policy.gates or [policy.gate(row.metric, row.unit) for row in rows if row.margin is not None]
    return Comparison(
        cnnshift_version=cnnshift.__version__,
        kind=kind,
        status="incomparable" if exact and not exactly_compared else status,
        gated=gated,
        on_inconclusive=policy.on_inconclusive,
        allowed=list(policy.allowed),
        baseline=baseline,
        candidates=list(candidates),
        gates=list(dict.fromkeys(map(str, gates))),
        gates_source=policy.source,
        rows=rows,
        requirements=requirements,
        changed_predictions=changed,
        ranking=[],
        notes=list(dict.fromkeys([*notes, *gate_notes(policy, matches)])),
    )


def _compare_metrics(
    baseline: str, candidate: str, match: MatchedRuns | UnmatchedRuns, policy: Policy
) -> Iterator[ComparedRow]:
    if isinstance(match, UnmatchedRuns):
        yield _row(baseline, candidate, match, match.verdict, match.reason)
        return
    ids = policy.metrics({metric.id: metric.unit for run in match.base for metric in run.metrics})
    if not ids:
        yield _row(baseline, candidate, match, "missing", "no gate applies to a metric of the baseline")
    for id in ids:
        base, other = ([metric for run in runs if (metric := run.metric(id))] for runs in (match.base, match.runs))
        example = next(iter([*base, *other]), None)
        if problem := _check_comparable(base, other, len(match.base), len(match.runs)):
            verdict, reason = problem
            # A metric without a value on both sides is omitted, unless a gate names it.
            if verdict != "unchanged" or any(gate.pattern == id for gate in policy.gates):
                verdict = "missing" if verdict == "unchanged" else verdict
                yield _row(baseline, candidate, match, verdict, reason, id=id, metric=example)
            continue
        assert example is not None
        gate = policy.gate(id, example.unit)
        assert gate is not None
        difference = metric_difference(match.base, match.runs, id)
        margin = gate.margin(id, example.unit, difference.baseline_value)
        row = _row(baseline, candidate, match, "unchanged", id=id, metric=example)
        yield row.model_copy(update=asdict(difference) | {"margin": margin})


def _check_comparable(
    base: Sequence[MetricResult], candidate: Sequence[MetricResult], base_runs: int, candidate_runs: int
) -> tuple[Verdict, str] | None:
    """Return why a metric cannot be compared, with the verdict; `unchanged` if no side has a value."""
    for side, metrics, runs in (("baseline", base, base_runs), ("candidate", candidate, candidate_runs)):
        if len(metrics) < runs:
            return "missing", f"the {side} does not have the metric"
    versions = {metric.version for metric in [*base, *candidate]}
    if len(versions) > 1:
        return "incomparable", f"the versions of the metric differ: {' and '.join(map(str, sorted(versions)))}"
    for metric in candidate:
        if field := differing_field(base[0], metric):
            values = f"{getattr(base[0], field)!r} → {getattr(metric, field)!r}"
            return "incomparable", f"the definition of the metric differs: {field} {values}"
    empty = [[metric for metric in metrics if metric.value is None] for metrics in (base, candidate)]
    if len(empty[0]) == len(base) and len(empty[1]) == len(candidate):
        return "unchanged", f"no value on either side: {base[0].reason}"
    for side, metrics in zip(("baseline", "candidate"), empty, strict=True):
        if metrics:
            return "incomparable", f"no value in the {side}: {metrics[0].reason}"
    return None


def _without_repeated_accuracy(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Drop repeated rows of the accuracy, which is measured without shifts and the same under every protocol."""
    unique: dict[object, ComparedRow] = {}
    for row in rows:
        repeatable = row.metric == "accuracy" and row.difference is not None
        values = row.baseline, row.candidate, row.model, row.dataset, row.baseline_value, row.candidate_value
        unique.setdefault(values if repeatable else len(unique), row)
    return list(unique.values())


def _row(
    baseline: str,
    candidate: str,
    match: MatchedRuns | UnmatchedRuns,
    verdict: Verdict,
    reason: str = "",
    *,
    id: str = "",
    metric: MetricResult | None = None,
) -> ComparedRow:
    run = match.runs[0]
    return ComparedRow(
        baseline=baseline,
        candidate=candidate,
        model=match.model,
        dataset=run.dataset.name,
        protocol=run.protocol.label,
        metric=id,
        title=metric.title if metric else id,
        unit=metric.unit if metric else "",
        higher_is_better=metric.higher_is_better if metric else True,
        verdict=verdict,
        reason=reason,
    )


def _check_requirements(name: str, result: Result, policy: Policy) -> Iterator[RequirementResult]:
    """Check every requirement for every model under every contract."""
    for group in group_by_contract(result):
        for model in group.models:
            run = model.runs[0]
            for requirement in policy.requirements:
                fitting = [metric.id for metric in run.metrics if requirement.applies_to(metric.unit)]
                for id in matching_ids(requirement.pattern, fitting) or [requirement.pattern]:
                    metric, mean = run.metric(id), seed_mean(model.runs, id)
                    unit = metric.unit if metric else ""
                    yield RequirementResult(
                        requirement=str(requirement),
                        candidate=name,
                        model=model.model,
                        protocol=run.protocol.label,
                        metric=id,
                        unit=unit,
                        value=mean.value if mean else None,
                        met=mean is not None and requirement.is_met(id, unit, mean.value),
                    )


def _check_patterns(policy: Policy, matches: Matches, candidates: Mapping[str, Result]) -> None:
    """Refuse gates and requirements that can never apply, which are typing errors."""
    units = {metric.id: metric.unit for _, match in matches for run in match.runs for metric in run.metrics}
    measured = [metric.id for result in candidates.values() for run in result.runs for metric in run.metrics]
    for pattern in [*(gate.pattern for gate in policy.gates), *(one.pattern for one in policy.requirements)]:
        # The search for plug-ins in METRICS takes time.
        if not matching_ids(pattern, [*units, *measured]) and not matching_ids(pattern, METRICS):
            raise InputError(unknown("metric", pattern, dict.fromkeys([*METRICS, *units, *measured])))
    for gate in policy.gates:
        ids = matching_ids(gate.pattern, units)
        if ids and not any(gate.applies_to(units[id]) for id in ids):
            # Raises the error that names the unit.
            gate.margin(ids[0], units[ids[0]], 0.0)
