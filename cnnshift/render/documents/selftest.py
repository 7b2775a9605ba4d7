"""What `cnnshift selftest` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnnshift.render.document import Column, Document, Finding, Table, TableCell

HOLDS, FAILS = TableCell("= holds", emphasis="dim"), TableCell("- FAILS", emphasis="bad")


@dataclass(frozen=True, slots=True)
class Answer:
    """An identity with its outcome, as text and numbers; `deviation` is None where there is none, for the `reason`."""

    name: str
    title: str
    deviation: float | None
    limit: float
    at_least: bool
    holds: bool
    reason: str


def selftest_document(answers: Sequence[Answer], device: Mapping[str, object], seconds: float) -> Document:
    """A row per identity.

    Args:
        answers: in the order of the table.
        device: backend, kind, dtype and precision.
        seconds: that it took.
    """
    failed = [answer for answer in answers if not answer.holds]
    where = f"{device['device_kind']}, {device['dtype']}, precision '{device['matmul_precision']}'"
    said = "all hold" if not failed else f"{len(failed)} of {len(answers)} do not hold"
    columns = [
        Column(
            "",
            [
                TableCell("= holds", emphasis="dim") if a.holds else TableCell("- FAILS", emphasis="bad")
                for a in answers
            ],
            numeric=False,
        ),
        Column("name", [TableCell(a.name) for a in answers], numeric=False),
        Column("identity", [TableCell(a.title) for a in answers], numeric=False),
        Column("deviation", [TableCell(a.reason if a.deviation is None else f"{a.deviation:.2g}") for a in answers]),
        Column("allowed", [TableCell(_limit(a)) for a in answers]),
    ]
    findings = [
        Finding(
            "passed" if a.holds else "failure", "selftest", f"{a.name}: {a.title}", f"{_said(a)}, allowed {_limit(a)}."
        )
        for a in answers
    ]
    records = [
        {"name": a.name, "identity": a.title, "deviation": a.deviation, "limit": a.limit, "at_least": a.at_least,
         "holds": a.holds, "reason": a.reason}
        for a in answers
    ]  # fmt: skip
    return Document(
        "selftest",
        {"device": dict(device), "seconds": seconds, "identities": records},
        records,
        tables=[Table("", columns)],
        header=[f"{len(answers)} known answers on {where}: {said} ({seconds:.0f} s)"],
        footer=_advice(failed),
        findings=findings,
    )


def _limit(answer: Answer) -> str:
    if answer.at_least:
        return f"> {answer.limit:g}"
    return "0" if answer.limit == 0 else f"≤ {answer.limit:g}"


def _said(answer: Answer) -> str:
    found = answer.reason if answer.deviation is None else f"deviation {answer.deviation:.2g}"
    return f"{found}, allowed {_limit(answer)}."


def _advice(failed: Sequence[Answer]) -> list[str]:
    if not failed:
        return []
    if any(answer.name == "P" for answer in failed):
        return [
            "Products of matrices are less precise than 32 bits here (TF32 or bfloat16): no number below 1e-2 counts."
        ]
    if any(answer.name == "T" for answer in failed):
        return ["Images move the wrong way: every map over shifts is mirrored."]
    return ["This installation does not compute what it says; please report this table."]
