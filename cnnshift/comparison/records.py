"""What a comparison says, as a document for programs: `schema` cnnshift.comparison, version 1."""

from __future__ import annotations

from typing import Literal

import pydantic

from cnnshift.results.schema import Coordinate, Record

Verdict = Literal["regressed", "missing", "incomparable", "inconclusive", "improved", "unchanged"]
"""What became of a row, worst first."""

VERDICTS: tuple[Verdict, ...] = ("regressed", "missing", "incomparable", "inconclusive", "improved", "unchanged")

MARKS: dict[Verdict, str] = {
    "regressed": "-",
    "missing": "x",
    "incomparable": "x",
    "inconclusive": "~",
    "improved": "+",
    "unchanged": "=",
}
"""Verdicts at a glance, with or without colour."""


class ComparedRow(Record):
    """One metric of one model, baseline against candidate.

    `difference` is candidate minus base in the metric's unit; `p_holm` is `p` adjusted for the number of rows. The
    numbers are null where the row is missing or incomparable, for the `reason` given, and `ci95` and the p-values also
    where the data say nothing of the error. `seeds` counts the runs of each side; `seed_sd` is null where one of them
    has a single run. `images_needed` and `seeds_needed` say what would settle an inconclusive row.
    """

    baseline: str
    candidate: str
    model: str
    dataset: str
    protocol: str
    metric: str
    title: str
    unit: Literal["fraction", "px", ""]
    higher_is_better: bool
    verdict: Verdict
    reason: str = ""
    base_value: float | None = None
    candidate_value: float | None = None
    difference: float | None = None
    ci95: tuple[float, float] | None = None
    margin: float | None = None
    p: float | None = None
    p_holm: float | None = None
    method: str = ""
    n: int = 0
    seeds: tuple[int, int] = (0, 0)
    seed_sd: float | None = None
    images_needed: int | None = None
    seeds_needed: int | None = None

    @property
    def gain(self) -> float:
        """The difference, oriented so that negative is worse; 0 where there is none."""
        value = self.difference or 0.0
        return value if self.higher_is_better else -value


class RequiredValue(Record):
    """A requirement and the value that meets it or not; the value is null where the metric has none."""

    requirement: str
    candidate: str
    model: str
    protocol: str
    metric: str
    unit: Literal["fraction", "px", ""]
    value: float | None
    met: bool


class Change(Record):
    """An image whose prediction changed under the same weights: at how many shifts, and the first of them."""

    model: str
    seed: int
    protocol: str
    image: int
    shifts: int
    shift: tuple[Coordinate, Coordinate] | None
    before: int
    after: int


class Ranking(Record):
    """A model's place among those measured under the same contract.

    `rank` orders by worst-case accuracy, ties sharing a rank. `pareto` names the costs (params, flops, time per image)
    for which no other model is at least as good in accuracy, worst-case accuracy and that cost, and better in one.
    """

    model: str
    dataset: str
    protocol: str
    rank: int
    accuracy: float
    worst_case_accuracy: float
    params: int | None
    flops: float | None
    images_per_second: float
    pareto: list[str]


class Comparison(Record):
    """Everything that a comparison found.

    `kind` is `results` (files, the first being the baseline) or `models` (of one result, against the reference).
    `status` is `failed` where a gate failed, `incomparable` where something that was to be compared could not be, and
    else `passed`. `gated` says whether rows can fail it, and `allowed` which verdicts do not make it incomparable.
    """

    schema_: Literal["cnnshift.comparison"] = pydantic.Field(default="cnnshift.comparison", alias="schema")
    schema_version: Literal[1] = 1
    cnnshift_version: str
    kind: Literal["results", "models"]
    status: Literal["passed", "failed", "incomparable"]
    gated: bool
    on_inconclusive: Literal["warn", "fail", "pass"]
    allowed: list[Literal["missing", "incomparable"]]
    baseline: str
    candidates: list[str]
    gates: list[str]
    gates_from: str
    rows: list[ComparedRow]
    requirements: list[RequiredValue]
    changes: list[Change]
    standings: list[Ranking]
    notes: list[str]

    def count(self, verdict: Verdict) -> int:
        """Number of rows with that verdict."""
        return sum(row.verdict == verdict for row in self.rows)
