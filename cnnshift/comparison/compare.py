"""The comparison itself: rows from matched runs, Holm over all of them, verdicts, and what they add up to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cnnshift
from cnnshift.catalog import METRICS
from cnnshift.comparison.difference import Difference, difference
from cnnshift.comparison.exact import changed_predictions
from cnnshift.comparison.gates import Gate, Policy, matching
from cnnshift.comparison.matching import Pair, Unmatched, match_results
from cnnshift.comparison.ranking import standings
from cnnshift.comparison.records import Change, ComparedRow, Comparison, RequiredValue, Verdict
from cnnshift.comparison.verdicts import Judged, Tolerance, badness, status_of, with_verdicts
from cnnshift.errors import InputError
from cnnshift.registry import unknown
from cnnshift.results.aggregate import group_by_contract, seed_mean
from cnnshift.results.files import shorten
from cnnshift.results.schema import MetricResult, Result, Run
from cnnshift.results.validation import differing_field
from cnnshift.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class _Matched:
    """What there is to compare between two names."""

    baseline: str
    candidate: str
    found: Pair | Unmatched


def compare_results(
    results: Mapping[str, Result], policy: Policy, *, tolerance: Tolerance = Tolerance(), exact: bool = False
) -> Comparison:
    """Compare every other result with the first.

    Args:
        results: at least two, by name.
        policy: gates and requirements.
        tolerance: what may be missing.
        exact: whether the predictions of the same weights must be equal.

    Raises:
        InputError: a gate or requirement for a metric that nobody knows, or in a unit that the metric does not have.
    """
    (first, base), *others = results.items()
    matched = [_Matched(first, name, found) for name, other in others for found in match_results(base, other)]
    notes = [note for name, other in results.items() for note in _notes_on(name, other, base)]
    notes += [note for one in matched for note in _notes(one)]
    if any(_is_one_other_network(one.found) for one in matched):
        notes.append(
            "Weights differ, with one seed on a side: these verdicts are about those very networks, not about the ways "
            "they were trained (bench --seeds 3 or more for that, or --weights to judge the code alone)."
        )
    return _compare("results", first, dict(others), matched, policy, tolerance, exact=exact, notes=notes)


def compare_models(
    name: str, result: Result, policy: Policy, *, reference: str | None = None, tolerance: Tolerance = Tolerance()
) -> Comparison:
    """Compare the models of one result, under each of its contracts, with one of them.

    Args:
        name: of the result.
        result: with at least one run.
        policy: gates and requirements.
        reference: model to compare the others with; the first by default.
        tolerance: what may be missing.

    Raises:
        InputError: no runs, no such model, and as in `compare_results`.
    """
    groups = group_by_contract(result)
    models = list(dict.fromkeys(run.model for run in result.runs))
    if not models:
        raise InputError(f"{name} holds no finished run; nothing can be compared.")
    chosen = models[0] if reference is None else _find(reference, models)
    matched = []
    for group in groups:
        rows = {row.model: row.runs for row in group.models}
        for model, runs in rows.items():
            if model == chosen:
                continue
            lacking = Unmatched(model, runs, "missing", f"the reference {chosen} was not measured like this")
            matched.append(_Matched(chosen, model, Pair(model, rows[chosen], runs) if chosen in rows else lacking))
    found = _compare("models", chosen, {name: result}, matched, policy, tolerance)
    return found.model_copy(update={"standings": [one for group in groups for one in standings(group)]})


def _find(reference: str, models: Sequence[str]) -> str:
    """A model by its spec, whatever the order of its options."""
    if reference in models:
        return reference
    with contextlib.suppress(InputError):
        wanted = ModelSpec.parse(reference)
        for model in models:
            # A model of the user's own may have a name that is no spec.
            with contextlib.suppress(InputError):
                if ModelSpec.parse(model) == wanted:
                    return model
    raise InputError(unknown("reference", reference, models))


def _compare(
    kind: Any,
    baseline: str,
    candidates: Mapping[str, Result],
    matched: Sequence[_Matched],
    policy: Policy,
    tolerance: Tolerance,
    *,
    exact: bool = False,
    notes: Sequence[str] = (),
) -> Comparison:
    _check_patterns(policy, matched, candidates)
    # Architectures differ on purpose: between them only gates that were asked for fail.
    gated = kind == "results" or policy.asked
    judged = _once([row for one in matched for row in _rows(one, policy)])
    changes: list[Change] = []
    looked_at = 0
    if exact:
        for one in matched:
            if isinstance(one.found, Pair):
                try:
                    changes += changed_predictions(one.found)
                    looked_at += 1
                except ValueError as problem:
                    judged.append(Judged(_row(one, "predictions", None, "incomparable", f"{problem}")))
    rows = sorted(with_verdicts(judged), key=badness)
    required = [value for name, result in candidates.items() for value in _required(name, result, policy)]
    return Comparison(
        cnnshift_version=cnnshift.__version__,
        kind=kind,
        status=(
            "incomparable"
            if exact and not looked_at
            else status_of(rows, required, changes, policy, tolerance, gated=gated)
        ),
        gated=gated,
        on_inconclusive=policy.on_inconclusive,
        allowed=[*(["missing"] if tolerance.missing else []), *(["incomparable"] if tolerance.incomparable else [])],
        baseline=baseline,
        candidates=list(candidates),
        gates=_applied(rows, policy),
        gates_from=policy.origin,
        rows=rows,
        requirements=required,
        changes=changes,
        standings=[],
        notes=list(dict.fromkeys([*notes, *_ungated(policy, matched)])),
    )


def _rows(one: _Matched, policy: Policy) -> Iterator[Judged]:
    if isinstance(one.found, Unmatched):
        yield Judged(_row(one, "", None, one.found.verdict, one.found.reason))
        return
    base, candidate = one.found.base, one.found.candidate
    there = {metric.id: metric.unit for run in base for metric in run.metrics}
    ids = policy.metrics(there)
    if not ids:
        yield Judged(_row(one, "", None, "missing", "the baseline has no metric that a gate is for"))
    for id in ids:
        found = [[metric for run in runs if (metric := run.metric(id))] for runs in (base, candidate)]
        example = next(iter([*found[0], *found[1]]), None)
        if (lacking := _lacking(found[0], found[1], len(base), len(candidate))) is not None:
            verdict, reason = lacking
            # A pattern takes what there is; a metric that was asked for by its name must not be left out silently.
            if verdict != "unchanged" or (policy.explicit and any(gate.pattern == id for gate in policy.gates)):
                yield Judged(_row(one, id, example, "missing" if verdict == "unchanged" else verdict, reason))
            continue
        assert example is not None
        gate = policy.gate(id, example.unit)
        assert gate is not None
        delta = difference(base, candidate, id)
        yield Judged(_measured(_row(one, id, example, "unchanged", ""), delta, gate), delta)


def _lacking(
    base: Sequence[MetricResult], candidate: Sequence[MetricResult], runs_before: int, runs_after: int
) -> tuple[Verdict, str] | None:
    """Why a metric cannot be compared: a verdict and its reason; `unchanged` where neither side has a value."""
    for side, metrics, runs in (("baseline", base, runs_before), ("candidate", candidate, runs_after)):
        if len(metrics) < runs:
            return "missing", f"the {side} does not have it"
    versions = {metric.version for metric in [*base, *candidate]}
    if len(versions) > 1:
        return "incomparable", f"versions {' and '.join(map(str, sorted(versions)))} of the metric"
    for metric in candidate:
        if what := differing_field(base[0], metric):
            return "incomparable", f"{what} {getattr(base[0], what)!r} → {getattr(metric, what)!r} of the metric"
    empty = [[metric for metric in metrics if metric.value is None] for metrics in (base, candidate)]
    if len(empty[0]) == len(base) and len(empty[1]) == len(candidate):
        return "unchanged", f"no value on either side: {base[0].reason}"
    for side, metrics in zip(("baseline", "candidate"), empty, strict=True):
        if metrics:
            return "incomparable", f"no value in the {side}: {metrics[0].reason}"
    return None


def _once(judged: Sequence[Judged]) -> list[Judged]:
    """Without the repeats of accuracy: it is of images that did not move, and so the same under every protocol."""
    seen, kept = set(), []
    for one in judged:
        row = one.row
        key = (row.baseline, row.candidate, row.model, row.dataset, row.base_value, row.candidate_value)
        if row.metric == "accuracy" and one.delta is not None:
            if key in seen:
                continue
            seen.add(key)
        kept.append(one)
    return kept


def _applied(rows: Sequence[ComparedRow], policy: Policy) -> list[str]:
    """The gates that were asked for, or else those that judged a row."""
    if policy.explicit:
        return [str(gate) for gate in policy.gates]
    used = [str(policy.gate(row.metric, row.unit)) for row in rows if row.margin is not None]
    return list(dict.fromkeys(used))


def _row(one: _Matched, id: str, metric: MetricResult | None, verdict: Verdict, reason: str) -> ComparedRow:
    run = _runs(one.found)[0]
    return ComparedRow(
        baseline=one.baseline,
        candidate=one.candidate,
        model=one.found.model,
        dataset=run.dataset.name,
        protocol=one.found.protocol.label,
        metric=id,
        title=metric.title if metric else id,
        unit=metric.unit if metric else "",
        higher_is_better=metric.higher_is_better if metric else True,
        verdict=verdict,
        reason=reason,
    )


def _runs(found: Pair | Unmatched) -> tuple[Run, ...]:
    return found.candidate if isinstance(found, Pair) else found.runs


def _measured(row: ComparedRow, delta: Difference, gate: Gate) -> ComparedRow:
    return row.model_copy(
        update={
            "base_value": delta.base,
            "candidate_value": delta.candidate,
            "difference": delta.value,
            "ci95": delta.ci95,
            "margin": gate.margin(row.metric, row.unit, delta.base),
            "p": delta.p,
            "method": delta.method,
            "n": delta.n,
            "seeds": delta.seeds,
            "seed_sd": delta.seed_sd,
        }
    )


def _required(name: str, result: Result, policy: Policy) -> Iterator[RequiredValue]:
    """Every requirement on every model under every contract."""
    for group in group_by_contract(result):
        for row in group.models:
            run = row.runs[0]
            for requirement in policy.requirements:
                fitting = [metric.id for metric in run.metrics if requirement.is_for(metric.unit)]
                ids = matching([requirement.pattern], fitting)
                for id in ids or [requirement.pattern]:
                    metric, combined = run.metric(id), seed_mean(row.runs, id)
                    unit = metric.unit if metric else ""
                    yield RequiredValue(
                        requirement=str(requirement),
                        candidate=name,
                        model=row.model,
                        protocol=run.protocol.label,
                        metric=id,
                        unit=unit,
                        value=combined.value if combined else None,
                        met=combined is not None and requirement.is_met(id, unit, combined.value),
                    )


def _notes_on(name: str, result: Result, base: Result) -> Iterator[str]:
    """What a reader should know of a whole file."""
    if result.status != "complete":
        finished = len(result.runs)
        yield f"{name} is {result.status}: it holds {finished} finished run{'' if finished == 1 else 's'}."
    for key in ("device_kind", "matmul_precision"):
        before, after = base.environment.get(key), result.environment.get(key)
        if before != after:
            yield f"{name} was measured on another {key.replace('_', ' ')}: {_said(before)} → {_said(after)}."


def _notes(one: _Matched) -> Iterator[str]:
    """What a reader of the differences should know."""
    if isinstance(one.found, Unmatched):
        return
    base, candidate = one.found.base[0], one.found.candidate[0]
    before, after = base.training.recipe, candidate.training.recipe
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    seeds = [", ".join(str(run.seed) for run in runs) for runs in (one.found.base, one.found.candidate)]
    if seeds[0] != seeds[1]:
        yield f"{one.found.model} has other seeds: {seeds[0]} in the baseline, {seeds[1]} in {one.candidate}."
    if changed:
        changes = ", ".join(f"{_said(key)} {_said(before.get(key))} → {_said(after.get(key))}" for key in changed)
        yield f"{one.found.model} was trained otherwise: {changes}."


def _said(value: object) -> str:
    """A value of any type from a file, as it may stand in a sentence."""
    return shorten(value).removeprefix("'").removesuffix("'")


def _ungated(policy: Policy, matched: Sequence[_Matched]) -> Iterator[str]:
    """Metrics that a pattern matches, but whose unit no margin fits: to leave them out silently would be no gate."""
    pairs = [one.found for one in matched if isinstance(one.found, Pair)]
    units = {metric.id: metric.unit for pair in pairs for run in pair.base for metric in run.metrics}
    asked = matching([gate.pattern for gate in policy.gates], units) if policy.explicit else []
    if left := [id for id in asked if policy.gate(id, units[id]) is None]:
        yield f"No gate fits the unit of {', '.join(left)}; margins with pp, % or without a sign would."


def _is_one_other_network(found: Pair | Unmatched) -> bool:
    """Whether weights changed, and one run on a side tells nothing of what another training would give."""
    if isinstance(found, Unmatched) or min(len(found.base), len(found.candidate)) > 1:
        return False
    return {run.weights_digest for run in found.base} != {run.weights_digest for run in found.candidate}


def _check_patterns(policy: Policy, matched: Sequence[_Matched], candidates: Mapping[str, Result]) -> None:
    """A gate for a metric that nobody knows is a mistake in writing, and would never fail."""
    known = dict.fromkeys(METRICS)
    known |= dict.fromkeys(metric.id for one in matched for run in _runs(one.found) for metric in run.metrics)
    known |= dict.fromkeys(metric.id for result in candidates.values() for run in result.runs for metric in run.metrics)
    for pattern in [*(gate.pattern for gate in policy.gates), *(one.pattern for one in policy.requirements)]:
        if not matching([pattern], known):
            raise InputError(unknown("metric", pattern, known))
    units = {metric.id: metric.unit for one in matched for run in _runs(one.found) for metric in run.metrics}
    for gate in policy.gates:
        there = matching([gate.pattern], units)
        if there and not any(gate.is_for(units[id]) for id in there):
            # It says what does not fit.
            gate.margin(there[0], units[there[0]], 0.0)
