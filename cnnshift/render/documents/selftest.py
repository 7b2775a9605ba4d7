"""The document of `cnnshift selftest`: a row per known answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnshift.render.document import Column, Document, Finding, Table, TableCell
from cnnshift.results.selftest import KnownAnswerRecord


def selftest_document(answers: Sequence[KnownAnswerRecord], device: Mapping[str, object], seconds: float) -> Document:
    """Return a table with one row per known answer, and the device and the duration in seconds."""
    failed = [answer for answer in answers if not answer.holds]
    where = f"{device['device_kind']}, {device['dtype']}, precision '{device['matmul_precision']}'"
    verdict = f"{len(failed)} of {len(answers)} fail" if failed else "all hold"
    holds, fails = TableCell("= holds", emphasis="dim"), TableCell("- FAILS", emphasis="bad")
    columns = [
        Column("", [holds if answer.holds else fails for answer in answers], numeric=False),
        Column("name", [TableCell(answer.name) for answer in answers], numeric=False),
        Column("known answer", [TableCell(answer.title) for answer in answers], numeric=False),
        Column("deviation", [TableCell(_deviation(answer)) for answer in answers]),
        Column("allowed", [TableCell(_allowed(answer)) for answer in answers]),
    ]
    records = [answer.model_dump(mode="json") for answer in answers]
    return Document(
        "selftest",
        {"device": dict(device), "seconds": seconds, "known_answers": records},
        records,
        tables=[Table("", columns)],
        header=[f"{len(answers)} known answers on {where}: {verdict} ({seconds:.0f} s)"],
        footer=_advice(failed),
        findings=[_finding(answer) for answer in answers],
    )


def _deviation(answer: KnownAnswerRecord) -> str:
    return answer.reason if answer.deviation is None else f"{answer.deviation:.2g}"


def _allowed(answer: KnownAnswerRecord) -> str:
    if answer.at_least:
        return f"> {answer.limit:g}"
    return "0" if answer.limit == 0 else f"≤ {answer.limit:g}"


def _finding(answer: KnownAnswerRecord) -> Finding:
    measured = _deviation(answer) if answer.deviation is None else f"deviation {_deviation(answer)}"
    level, name = "passed" if answer.holds else "failure", f"{answer.name}: {answer.title}"
    return Finding(level, "selftest", name, f"{measured}, allowed {_allowed(answer)}.")


def _advice(failed: Sequence[KnownAnswerRecord]) -> list[str]:
    names = {answer.name for answer in failed}
    if "P" in names:
        return [
            "Matrix products have less than 32-bit precision here (TF32 or bfloat16): errors below 1e-2 are rounding."
        ]
    if "T" in names:
        return ["Images move in the wrong direction: every map over shifts is mirrored."]
    return ["This installation computes wrong results; please report this table."] if failed else []
