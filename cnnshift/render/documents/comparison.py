"""The document of `cnnshift compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from cnnshift.comparison import records
from cnnshift.comparison.records import ChangedPrediction, ComparedRow, Comparison, RequirementResult, Verdict
from cnnshift.pixel_length import format_shift
from cnnshift.render.document import Column, Document, Finding, Level, Table, TableCell
from cnnshift.render.numbers import format_count, format_difference, format_with_unit, percent

VERDICT_CELLS: dict[Verdict, TableCell] = {
    "regressed": TableCell("- regressed", emphasis="bad"),
    "missing": TableCell("x missing", emphasis="bad"),
    "incomparable": TableCell("x incomparable", emphasis="bad"),
    "inconclusive": TableCell("~ inconclusive", emphasis="warning"),
    "improved": TableCell("+ improved", emphasis="good"),
    "unchanged": TableCell("= unchanged", emphasis="dim"),
}
LEGEND = (
    "[low, high]: 95 % confidence interval, paired by image · p: Holm-adjusted over all rows · - regressed · x missing "
    "or incomparable · ~ inconclusive: beyond the margin, but not significant · + improved · = within the margin"
)
RANKING_LEGEND = (
    "rank: by worst-case accuracy · Pareto front: no other model is at least as good in both accuracies and that cost, "
    "and better in one of them"
)
MAX_CHANGED_PREDICTIONS = 20
ACTIONS: dict[Verdict, str] = {
    "missing": "Measure it with the same settings, or pass --allow-missing",
    "incomparable": "Measure both with the same settings and version, or pass --allow-incomparable",
}


def comparison_document(comparison: Comparison, *, only_changed: bool = False) -> Document:
    """Return a document: counts of verdicts, tables with the worst rows first, notes and next steps.

    With `only_changed`, unchanged rows are counted, not shown.
    """
    rows = [row for row in comparison.rows if not (only_changed and row.verdict == "unchanged")]
    tables = [Table("", _columns(rows, comparison), LEGEND)] if rows else []
    if comparison.requirements:
        tables.append(_requirement_table(comparison.requirements))
    if comparison.changed_predictions:
        tables.append(_changed_prediction_table(comparison.changed_predictions))
    for title, models in groupby(comparison.ranking, key=lambda one: f"{one.dataset} [{one.protocol}]"):
        tables.append(_ranking_table(title, list(models)))
    hidden = len(comparison.rows) - len(rows)
    footer = [f"{hidden} unchanged {'row is' if hidden == 1 else 'rows are'} not shown."] if hidden else []
    footer += comparison.notes
    if comparison.gates:
        footer.append(f"Gates: {', '.join(comparison.gates)} (from {comparison.gates_source}).")
    return Document(
        name="compare",
        content=comparison,
        records=[_record(row) for row in comparison.rows],
        tables=tables,
        header=[_counts(comparison)],
        footer=[*footer, _next_step(comparison)],
        findings=list(_findings(comparison)),
        lines=[
            {"record": kind} | record.model_dump(mode="json")
            for kind, records in (
                ("comparison", comparison.rows),
                ("requirement", comparison.requirements),
                ("changed_prediction", comparison.changed_predictions),
            )
            for record in records
        ],
    )


def _counts(comparison: Comparison) -> str:
    """Return what was compared, the number of rows by verdict, and the status."""
    counts = [f"{count} {verdict}" for verdict in records.VERDICTS if (count := comparison.count(verdict))]
    if requirements := comparison.requirements:
        counts.append(f"{sum(not one.met for one in requirements)} of {len(requirements)} requirements not met")
    if changed := len(comparison.changed_predictions):
        counts.append(f"{changed} image{'' if changed == 1 else 's'} with changed predictions")
    if comparison.kind == "results":
        compared = f"{comparison.baseline} → {', '.join(comparison.candidates)}"
    else:
        compared = f"{comparison.candidates[0]}, models compared with {comparison.baseline}"
    return f"{compared}: {', '.join(counts) or 'nothing to compare'} ({comparison.status})"


def _columns(rows: Sequence[ComparedRow], comparison: Comparison) -> list[Column]:
    columns = [
        Column("verdict", [VERDICT_CELLS[row.verdict] for row in rows], numeric=False),
        _column("model", [row.model for row in rows], numeric=False),
    ]
    if comparison.kind == "results" and len(comparison.candidates) > 1:
        columns.append(_column("candidate", [row.candidate for row in rows], numeric=False))
    before, after = ("baseline", "candidate") if comparison.kind == "results" else ("reference", "model")
    return [
        *columns,
        _column("metric", [_metric(row) for row in rows], numeric=False),
        _column(before, [_value(row.baseline_value, row.unit) for row in rows]),
        _column(after, [_value(row.candidate_value, row.unit) for row in rows]),
        Column("difference", [_difference(row) for row in rows]),
        _column("margin", [_margin(row) for row in rows], optional=True),
        _column("p", [_p_value(row.p_holm) for row in rows], optional=True),
    ]


def _column(heading: str, texts: Sequence[str], *, numeric: bool = True, optional: bool = False) -> Column:
    return Column(heading, [TableCell(text) for text in texts], numeric=numeric, optional=optional)


def _metric(row: ComparedRow) -> str:
    # Accuracy is measured without shifts.
    return row.title if row.metric == "accuracy" else f"{row.title} [{row.protocol}]".strip()


def _value(value: float | None, unit: str) -> str:
    return "–" if value is None else format_with_unit(value, unit)


def _difference(row: ComparedRow) -> TableCell:
    if row.difference is None:
        return TableCell(row.reason)
    seeds = "" if row.seed_sd is None else f" seeds ±{format_difference(row.seed_sd, row.unit)[1:]}"
    limits = ", ".join(format_difference(limit, row.unit).partition(" ")[0] for limit in row.ci95 or ())
    interval = f"[{limits}]" if limits else "no interval"
    return TableCell(format_difference(row.difference, row.unit), f"{interval}{seeds}")


def _margin(row: ComparedRow) -> str:
    return "–" if row.margin is None else format_difference(row.margin, row.unit)[1:]


def _p_value(p: float | None) -> str:
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _requirement_table(requirements: Sequence[RequirementResult]) -> Table:
    met, unmet = TableCell("= met", emphasis="dim"), TableCell("- not met", emphasis="bad")
    ordered = sorted(requirements, key=lambda one: one.met)
    return Table(
        "Requirements",
        [
            Column("verdict", [met if one.met else unmet for one in ordered], numeric=False),
            _column("model", [one.model for one in ordered], numeric=False),
            _column("requirement", [f"{one.requirement} [{one.protocol}]" for one in ordered], numeric=False),
            _column("value", ["no value" if one.value is None else _value(one.value, one.unit) for one in ordered]),
        ],
    )


def _changed_prediction_table(changed: Sequence[ChangedPrediction]) -> Table:
    shown, hidden = changed[:MAX_CHANGED_PREDICTIONS], len(changed) - MAX_CHANGED_PREDICTIONS
    more = [f"{hidden} more images are in --format json."] if hidden > 0 else []
    return Table(
        "Changed predictions under the same weights",
        [
            _column("model", [f"{one.model} seed {one.seed}" for one in shown], numeric=False),
            _column("protocol", [one.protocol for one in shown], numeric=False),
            _column("image", [f"{one.image}" for one in shown]),
            _column("shifts", [f"{one.shifts}" for one in shown]),
            _column("first change", [_first_change(one) for one in shown], numeric=False),
        ],
        notes=more,
    )


def _first_change(one: ChangedPrediction) -> str:
    shift = "a random shift of the image" if one.shift is None else format_shift(one.shift)
    return f"{shift}: class {one.baseline_class} → {one.candidate_class}"


def _ranking_table(title: str, models: Sequence[records.RankedModel]) -> Table:
    return Table(
        f"Accuracy, worst-case accuracy and cost: {title}",
        [
            _column("rank", [f"{one.rank}" for one in models]),
            _column("model", [one.model for one in models], numeric=False),
            _column("accuracy %", [percent(one.accuracy) for one in models]),
            _column("worst-case accuracy %", [percent(one.worst_case_accuracy) for one in models]),
            _column("params", [format_count(one.params) for one in models]),
            _column("MFLOPs", ["–" if one.flops is None else f"{one.flops / 1e6:,.2f}" for one in models]),
            _column("images/s", [format_count(one.images_per_second) for one in models]),
            _column("Pareto front of", [", ".join(one.pareto) or "–" for one in models], numeric=False),
        ],
        RANKING_LEGEND,
    )


def _record(row: ComparedRow) -> dict[str, Any]:
    low, high = row.ci95 or (None, None)
    return row.model_dump(mode="json", exclude={"ci95", "seeds"}) | {
        "ci95_low": low,
        "ci95_high": high,
        "baseline_seeds": row.seeds[0],
        "candidate_seeds": row.seeds[1],
    }


def _findings(comparison: Comparison) -> Iterator[Finding]:
    several = comparison.kind == "results" and len(comparison.candidates) > 1
    for row in comparison.rows:
        group = f"{row.candidate}: {row.model}" if several else row.model
        yield Finding(_level(row, comparison), group, _metric(row), _sentence(row), severity=-row.improvement)
    for one in comparison.requirements:
        absent: Level = "notice" if "missing" in comparison.allowed else "error"
        level: Level = "passed" if one.met else absent if one.value is None else "failure"
        yield Finding(level, one.model, f"{one.requirement} [{one.protocol}]", _requirement(one))
    for one in comparison.changed_predictions:
        # The low severity lists them after the metrics.
        name = f"image {one.image} [{one.protocol}]"
        text = f"changed at {one.shifts} shifts, first at {_first_change(one)}."
        yield Finding("failure", f"{one.model} seed {one.seed}", name, text, severity=one.shifts * 1e-9)


def _requirement(one: RequirementResult) -> str:
    value = "no value was measured" if one.value is None else f"the value is {format_with_unit(one.value, one.unit)}"
    return f"required {one.requirement}: {value}."


def _level(row: ComparedRow, comparison: Comparison) -> Level:
    """Return a level that fails in a report exactly if the row fails the comparison."""
    if row.verdict in ("missing", "incomparable"):
        compared = any(one.difference is not None for one in comparison.rows)
        return "notice" if row.verdict in comparison.allowed and compared else "error"
    if row.verdict == "regressed":
        return "failure" if comparison.gated else "notice"
    if row.verdict == "inconclusive" and row.improvement < 0:
        if not comparison.gated:
            return "notice"
        levels: dict[str, Level] = {"fail": "failure", "pass": "passed"}
        return levels.get(comparison.on_inconclusive, "warning")
    return "notice" if row.verdict == "improved" else "passed"


def _sentence(row: ComparedRow) -> str:
    if row.difference is None:
        return f"{row.verdict}: {row.reason}."
    cell = _difference(row)
    values = f"{_value(row.baseline_value, row.unit)} → {_value(row.candidate_value, row.unit)}"
    return f"{row.verdict}: {values}, {cell.text} {cell.detail}, margin {_margin(row)}."


def _next_step(comparison: Comparison) -> str:
    """Return the last line: what to do next."""
    if comparison.status == "incomparable":
        return f"Next: {_incomparable_step(comparison)}."
    worst = next((row for row in comparison.rows if row.verdict == "regressed"), None)
    if worst and comparison.gated:
        return f"Next: inspect {worst.model}, {_metric(worst)}: {_sentence(worst)}"
    unmet = next((one for one in comparison.requirements if one.value is not None and not one.met), None)
    if unmet:
        return f"Next: inspect {unmet.model} [{unmet.protocol}], {_requirement(unmet)}"
    if comparison.changed_predictions:
        one = comparison.changed_predictions[0]
        return f"Next: inspect {one.model} seed {one.seed}, image {one.image} [{one.protocol}], {_first_change(one)}."
    inconclusive = [row for row in comparison.rows if row.verdict == "inconclusive" and row.improvement < 0]
    return f"Next: {_sample_size_step(inconclusive)}." if inconclusive else "No gate failed."


def _incomparable_step(comparison: Comparison) -> str:
    for verdict, action in ACTIONS.items():
        row = next((row for row in comparison.rows if row.verdict == verdict), None)
        if row and verdict not in comparison.allowed:
            name = " ".join(text for text in (row.model, row.title) if text)
            return f"{name} cannot be compared ({row.reason}). {action}"
    absent = next((one for one in comparison.requirements if one.value is None), None)
    if comparison.rows and absent:
        return f"{absent.model} [{absent.protocol}], {_requirement(absent)} {ACTIONS['missing']}"
    return "nothing could be compared; measure the baseline and the candidate with the same settings"


def _sample_size_step(rows: Sequence[ComparedRow]) -> str:
    """Return how many images or seeds make the inconclusive rows significant."""
    row, others = max(rows, key=lambda row: (row.images_needed or 0, row.seeds_needed or 0)), ""
    if row.images_needed:
        step = f"measure about {row.images_needed:,} images (now {row.n:,})"
        others = " and the other inconclusive rows" if len(rows) > 1 and all(one.images_needed for one in rows) else ""
    elif row.seeds_needed:
        step = f"train about {row.seeds_needed:,} seeds (now {max(row.seeds)}; --seeds)"
    else:
        step = "measure more images and train more seeds (--limit, --seeds)"
    return f"{step} to settle {row.model}, {row.title}{others}"
