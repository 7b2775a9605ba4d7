"""The content of a comparison: `schema` "cnnshift.comparison", version 2."""

from __future__ import annotations

from typing import Literal, get_args

import pydantic

from cnnshift.results.schema import Coordinate, Record

Verdict = Literal["regressed", "missing", "incomparable", "inconclusive", "improved", "unchanged"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""All verdicts, worst first."""


class ComparedRow(Record):
    """One metric of one model: candidate against baseline.

    `difference` is candidate minus baseline in the unit of the metric, and `p_holm` is `p` adjusted for the number of
    rows. The numbers are null, with a `reason`, if the row is missing or incomparable; `ci95` and the p-values are also
    null if the data do not determine an error. `seeds` counts the runs of both sides, and `seed_sd` is null if one of
    them has a single run. `images_needed` and `seeds_needed` estimate what makes an inconclusive row significant.
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
    baseline_value: float | None = None
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
    def improvement(self) -> float:
        """The difference, oriented so that negative is worse; 0 if there is none."""
        value = self.difference or 0.0
        return value if self.higher_is_better else -value


class RequirementResult(Record):
    """A requirement on a candidate, and whether it is met; `value` is null if the metric has no value."""

    requirement: str
    candidate: str
    model: str
    protocol: str
    metric: str
    unit: Literal["fraction", "px", ""]
    value: float | None
    met: bool


class ChangedPrediction(Record):
    """An image whose prediction changed under the same weights.

    `shifts` is the number of shifts at which it changed, and `shift` is the first of them, null if every image has its
    own random shifts. The classes are those at that shift.
    """

    model: str
    seed: int
    protocol: str
    image: int
    shifts: int
    shift: tuple[Coordinate, Coordinate] | None
    baseline_class: int
    candidate_class: int


class RankedModel(Record):
    """A model ranked among those measured under the same contract.

    `rank` orders by worst-case accuracy; ties share a rank. `pareto` lists the costs (params, flops, time) for which no
    other model is at least as good in accuracy, worst-case accuracy and that cost, and better in one of them.
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
    """A complete comparison.

    `kind` is `results` (several results with the first) or `models` (the models of one result with a reference).
    `status` is `failed` if a gate failed, else `incomparable` if a required comparison was impossible, else `passed`.
    Rows can fail the comparison only if it is `gated`. The verdicts in `allowed` do not make it incomparable.
    """

    schema_: Literal["cnnshift.comparison"] = pydantic.Field(default="cnnshift.comparison", alias="schema")
    schema_version: Literal[2] = 2
    cnnshift_version: str
    kind: Literal["results", "models"]
    status: Literal["passed", "failed", "incomparable"]
    gated: bool
    on_inconclusive: Literal["warn", "fail", "pass"]
    allowed: list[Literal["missing", "incomparable"]]
    baseline: str
    candidates: list[str]
    gates: list[str]
    gates_source: str
    rows: list[ComparedRow]
    requirements: list[RequirementResult]
    changed_predictions: list[ChangedPrediction]
    ranking: list[RankedModel]
    notes: list[str]

    def count(self, verdict: Verdict) -> int:
        """Return the number of rows with that verdict."""
        return sum(row.verdict == verdict for row in self.rows)
