"""What `cnnshift compare` says about a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnshift.comparison.records import (
    MARKS,
    VERDICTS,
    Change,
    ComparedRow,
    Comparison,
    Ranking,
    RequiredValue,
    Verdict,
)
from cnnshift.pixel_length import format_shift
from cnnshift.render.document import Column, Document, Emphasis, Finding, Level, Table, TableCell
from cnnshift.render.numbers import format_count, format_difference, format_with_unit, percent

EMPHASIS: dict[Verdict, Emphasis] = {
    "regressed": "bad",
    "missing": "bad",
    "incomparable": "bad",
    "inconclusive": "warning",
    "improved": "good",
    "unchanged": "dim",
}
LEGEND = (
    "[low, high]: 95 % interval, paired by image · p: adjusted for all rows (Holm) · - regressed, x missing or "
    "incomparable, ~ beyond the margin but perhaps chance, + improved, = within the margin"
)
SHOWN_CHANGES = 20
WAYS_OUT: dict[Verdict, str] = {
    "missing": "Measure it with the same settings, or accept its absence with --allow-missing",
    "incomparable": "Measure both with the same settings and version, or accept that with --allow-incomparable",
}


def comparison_document(comparison: Comparison, *, only_changed: bool = False) -> Document:
    """Verdicts first, then the rows, worst first, and at last what to do next.

    Args:
        comparison: what was found.
        only_changed: leave unchanged rows out of the tables, and count them.
    """
    tables = []
    if shown := [row for row in comparison.rows if not (only_changed and row.verdict == "unchanged")]:
        tables.append(Table("", _columns(shown, comparison), LEGEND))
    if comparison.requirements:
        tables.append(_requirements(comparison.requirements))
    if comparison.changes:
        tables.append(_changes(comparison.changes))
    tables += [_standings(place, models) for place, models in _by_contract(comparison.standings)]
    hidden = len(comparison.rows) - len(shown)
    return Document(
        name="compare",
        content=comparison,
        records=[_record(row) for row in comparison.rows],
        tables=tables,
        header=[_verdicts(comparison)],
        footer=[
            *([f"{hidden} unchanged {'row is' if hidden == 1 else 'rows are'} not shown."] if hidden else []),
            *comparison.notes,
            *([f"Gates: {', '.join(comparison.gates)} (from {comparison.gates_from})."] if comparison.gates else []),
            _advice(comparison),
        ],
        findings=list(_findings(comparison)),
        lines=[
            {"record": kind} | record.model_dump(mode="json")
            for kind, records in (
                ("comparison", comparison.rows),
                ("requirement", comparison.requirements),
                ("change", comparison.changes),
            )
            for record in records
        ],
    )


def _verdicts(comparison: Comparison) -> str:
    """The first line: what was compared, and how many rows have which verdict."""
    counts = [f"{number} {verdict}" for verdict in VERDICTS if (number := comparison.count(verdict))]
    unmet = sum(not one.met for one in comparison.requirements)
    counts += [f"{unmet} of {len(comparison.requirements)} requirements not met"] if comparison.requirements else []
    if changed := len(comparison.changes):
        counts.append(f"{changed} image{'' if changed == 1 else 's'} with changed predictions")
    if comparison.kind == "results":
        what = f"{comparison.baseline} → {', '.join(comparison.candidates)}"
    else:
        what = f"{comparison.candidates[0]}, against {comparison.baseline}"
    return f"{what}: {', '.join(counts) or 'nothing to compare'} ({comparison.status})"


def _columns(rows: Sequence[ComparedRow], comparison: Comparison) -> list[Column]:
    columns = [
        Column("verdict", [_verdict(row.verdict) for row in rows], numeric=False),
        Column("model", [TableCell(row.model) for row in rows], numeric=False),
    ]
    if comparison.kind == "results" and len(comparison.candidates) > 1:
        columns.append(Column("candidate", [TableCell(row.candidate) for row in rows], numeric=False))
    before, after = ("base", "candidate") if comparison.kind == "results" else ("reference", "model")
    return [
        *columns,
        Column("metric", [TableCell(_where(row)) for row in rows], numeric=False),
        Column(before, [TableCell(_value(row.base_value, row)) for row in rows]),
        Column(after, [TableCell(_value(row.candidate_value, row)) for row in rows]),
        Column("difference", [_difference(row) for row in rows]),
        Column("margin", [TableCell(_margin(row)) for row in rows], optional=True),
        Column(
            "p", [TableCell("–" if row.p_holm is None else _probability(row.p_holm)) for row in rows], optional=True
        ),
    ]


def _verdict(verdict: Verdict) -> TableCell:
    return TableCell(f"{MARKS[verdict]} {verdict}", emphasis=EMPHASIS[verdict])


def _where(row: ComparedRow) -> str:
    # Accuracy is of images that did not move.
    return row.title if row.metric == "accuracy" else f"{row.title} [{row.protocol}]".strip()


def _value(value: float | None, row: ComparedRow) -> str:
    return "–" if value is None else format_with_unit(value, row.unit)


def _difference(row: ComparedRow) -> TableCell:
    if row.difference is None:
        return TableCell(row.reason)
    spread = "" if row.seed_sd is None else f" seeds ±{format_difference(row.seed_sd, row.unit)[1:]}"
    interval = "no interval" if row.ci95 is None else _interval(row.ci95, row.unit)
    return TableCell(format_difference(row.difference, row.unit), f"{interval}{spread}")


def _interval(ci95: tuple[float, float], unit: str) -> str:
    low, high = (format_difference(limit, unit).partition(" ")[0] for limit in ci95)
    return f"[{low}, {high}]"


def _margin(row: ComparedRow) -> str:
    return "–" if row.margin is None else format_difference(row.margin, row.unit)[1:]


def _probability(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _requirements(required: Sequence[RequiredValue]) -> Table:
    words = {True: "= met", False: "- not met"}
    emphasis: dict[bool, Emphasis] = {True: "dim", False: "bad"}
    ordered = sorted(required, key=lambda one: one.met)
    values = [TableCell("no value" if one.value is None else format_with_unit(one.value, one.unit)) for one in ordered]
    return Table(
        "Requirements",
        [
            Column(
                "verdict", [TableCell(words[one.met], emphasis=emphasis[one.met]) for one in ordered], numeric=False
            ),
            Column("model", [TableCell(one.model) for one in ordered], numeric=False),
            Column("requirement", [TableCell(f"{one.requirement} [{one.protocol}]") for one in ordered], numeric=False),
            Column("value", values),
        ],
    )


def _changes(changes: Sequence[Change]) -> Table:
    shown = changes[:SHOWN_CHANGES]
    more = [f"{len(changes) - len(shown)} more images are in --format json."] if len(changes) > len(shown) else []
    return Table(
        "Changed predictions under the same weights",
        [
            Column("model", [TableCell(f"{one.model} seed {one.seed}") for one in shown], numeric=False),
            Column("protocol", [TableCell(one.protocol) for one in shown], numeric=False),
            Column("image", [TableCell(f"{one.image}") for one in shown]),
            Column("shifts", [TableCell(f"{one.shifts}") for one in shown]),
            Column("first of them", [TableCell(_first(one)) for one in shown], numeric=False),
        ],
        notes=more,
    )


def _first(one: Change) -> str:
    where = "a shift of its own" if one.shift is None else format_shift(one.shift)
    return f"{where}: class {one.before} → {one.after}"


def _by_contract(standings: Sequence[Ranking]) -> Iterator[tuple[str, list[Ranking]]]:
    places = dict.fromkeys(f"{one.dataset} [{one.protocol}]" for one in standings)
    for place in places:
        yield place, [one for one in standings if f"{one.dataset} [{one.protocol}]" == place]


def _standings(place: str, models: Sequence[Ranking]) -> Table:
    def column(heading: str, texts: Sequence[str], *, numeric: bool = True) -> Column:
        return Column(heading, [TableCell(text) for text in texts], numeric=numeric)

    return Table(
        f"Accuracy, worst case and cost: {place}",
        [
            column("rank", [f"{one.rank}" for one in models]),
            column("model", [one.model for one in models], numeric=False),
            column("accuracy %", [percent(one.accuracy) for one in models]),
            column("worst-case accuracy %", [percent(one.worst_case_accuracy) for one in models]),
            column("params", [format_count(one.params) for one in models]),
            column("MFLOPs", ["–" if one.flops is None else f"{one.flops / 1e6:,.2f}" for one in models]),
            column("images/s", [format_count(one.images_per_second) for one in models]),
            column("Pareto front of", [", ".join(one.pareto) or "–" for one in models], numeric=False),
        ],
        "rank: by worst-case accuracy · Pareto front: no other model is as good in both accuracies at no more of that "
        "cost, and better in one",
    )


def _record(row: ComparedRow) -> dict[str, object]:
    record = row.model_dump(mode="json", exclude={"ci95", "seeds"})
    low, high = row.ci95 or (None, None)
    return record | {
        "ci95_low": low,
        "ci95_high": high,
        "base_seeds": row.seeds[0],
        "candidate_seeds": row.seeds[1],
    }


def _findings(comparison: Comparison) -> Iterator[Finding]:
    several = comparison.kind == "results" and len(comparison.candidates) > 1
    for row in comparison.rows:
        group = f"{row.candidate}: {row.model}" if several else row.model
        yield Finding(_level(row, comparison), group, _where(row), _sentence(row), severity=-row.gain)
    for one in comparison.requirements:
        absent: Level = "notice" if "missing" in comparison.allowed else "error"
        level: Level = "passed" if one.met else absent if one.value is None else "failure"
        yield Finding(level, one.model, f"{one.requirement} [{one.protocol}]", _unmet(one))
    for one in comparison.changes:
        # After the metrics: there may be many.
        name = f"image {one.image} [{one.protocol}]"
        text = f"changed at {one.shifts} shifts, first at {_first(one)}."
        yield Finding("failure", f"{one.model} seed {one.seed}", name, text, severity=one.shifts * 1e-9)


def _unmet(one: RequiredValue) -> str:
    value = "it has no value" if one.value is None else f"it is {format_with_unit(one.value, one.unit)}"
    return f"required {one.requirement}: {value}."


def _level(row: ComparedRow, comparison: Comparison) -> Level:
    """As bad as it is for the status: what fails there fails in a report, and what is allowed there does not."""
    if row.verdict in ("missing", "incomparable"):
        # Where nothing else was judged, what is allowed is all there is, and the comparison has not passed.
        tolerated = row.verdict in comparison.allowed and any(one.difference is not None for one in comparison.rows)
        return "notice" if tolerated else "error"
    if row.verdict == "regressed":
        return "failure" if comparison.gated else "notice"
    if row.verdict == "inconclusive":
        levels: dict[str, Level] = {"fail": "failure" if comparison.gated else "warning", "pass": "passed"}
        return levels.get(comparison.on_inconclusive, "warning") if row.gain < 0 else "passed"
    return "notice" if row.verdict == "improved" else "passed"


def _sentence(row: ComparedRow) -> str:
    if row.difference is None:
        return f"{row.verdict}: {row.reason}."
    cell = _difference(row)
    values = f"{_value(row.base_value, row)} → {_value(row.candidate_value, row)}"
    return f"{row.verdict}: {values}, {cell.text} {cell.detail}, margin {_margin(row)}."


def _advice(comparison: Comparison) -> str:
    """The last line: what to do next."""
    for verdict, what in WAYS_OUT.items():
        if comparison.status == "incomparable" and verdict not in comparison.allowed and comparison.count(verdict):
            row = next(row for row in comparison.rows if row.verdict == verdict)
            where = " ".join(text for text in (row.model, row.title) if text)
            return f"Next: {where} cannot be judged ({row.reason}). {what}."
    absent = next((one for one in comparison.requirements if one.value is None), None)
    if comparison.status == "incomparable" and comparison.rows and absent:
        return f"Next: {absent.model} [{absent.protocol}], {_unmet(absent)} {WAYS_OUT['missing']}."
    if comparison.status == "incomparable":
        return "Next: nothing could be judged; measure the baseline and the candidate with the same settings."
    worst = next((row for row in comparison.rows if row.verdict == "regressed"), None)
    if worst and comparison.gated:
        return f"Next: look at {worst.model}, {_where(worst)}: {_sentence(worst)}"
    unmet = next((one for one in comparison.requirements if one.value is not None and not one.met), None)
    if unmet:
        return f"Next: look at {unmet.model} [{unmet.protocol}], {_unmet(unmet)}"
    if comparison.changes:
        one = comparison.changes[0]
        return f"Next: look at {one.model} seed {one.seed}, image {one.image} [{one.protocol}], {_first(one)}."
    doubtful = [row for row in comparison.rows if row.verdict == "inconclusive" and row.gain < 0]
    if doubtful:
        return f"Next: {_settling(doubtful)}"
    return "Next: nothing; no gate failed."


def _settling(rows: Sequence[ComparedRow]) -> str:
    """How many images or seeds would settle the inconclusive rows."""
    settled = [row for row in rows if row.images_needed]
    if settled:
        row = max(settled, key=lambda row: row.images_needed or 0)
        more = " and what else is inconclusive" if len(settled) == len(rows) > 1 else ""
        what = f"{row.model}, {row.title}{more}"
        return f"about {row.images_needed:,} images like these (now {row.n:,}) would settle {what}."
    seeded = [row for row in rows if row.seeds_needed]
    if seeded:
        row = max(seeded, key=lambda row: row.seeds_needed or 0)
        return (
            f"about {row.seeds_needed:,} seeds (now {max(row.seeds)}; --seeds) would settle {row.model}, {row.title}."
        )
    row = rows[0]
    return f"more images and more seeds (--limit, --seeds) would be needed to settle {row.model}, {row.title}."
