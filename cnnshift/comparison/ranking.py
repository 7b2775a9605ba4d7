"""Rank and Pareto front of models measured under one contract: accuracy × worst case × cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnnshift.comparison.records import Ranking
from cnnshift.results.aggregate import ContractGroup, ModelRuns, seed_mean


@dataclass(frozen=True, slots=True)
class _Scores:
    row: ModelRuns
    accuracy: float
    worst_case: float
    costs: Mapping[str, int | float | None]


def standings(group: ContractGroup) -> list[Ranking]:
    """Models in the order of their rank; without those that lack one of the two accuracies."""
    scored = list(_scored(group))
    found = []
    for one in sorted(scored, key=lambda one: (-one.worst_case, -one.accuracy)):
        run = one.row.runs[0]
        found.append(
            Ranking(
                model=one.row.model,
                dataset=run.dataset.name,
                protocol=run.protocol.label,
                rank=1 + sum(other.worst_case > one.worst_case for other in scored),
                accuracy=one.accuracy,
                worst_case_accuracy=one.worst_case,
                params=run.params,
                flops=run.flops,
                images_per_second=_speed(one.row),
                pareto=[cost for cost in one.costs if _is_on_front(one, scored, cost)],
            )
        )
    return found


def _scored(group: ContractGroup) -> Iterator[_Scores]:
    for row in group.models:
        plain, worst = (seed_mean(row.runs, id) for id in ("accuracy", "worst_case_accuracy"))
        if plain and worst:
            run, speed = row.runs[0], _speed(row)
            costs = {"params": run.params, "flops": run.flops, "time": 1 / speed if speed > 0 else None}
            yield _Scores(row, plain.value, worst.value, costs)


def _speed(row: ModelRuns) -> float:
    return float(np.mean([run.timing.images_per_second for run in row.runs]))


def _is_on_front(one: _Scores, all_of_them: Sequence[_Scores], cost: str) -> bool:
    """Whether no other is at least as good in all three and better in one; unknown costs are never compared."""
    price = one.costs[cost]
    if price is None:
        return False
    for other in all_of_them:
        other_price = other.costs[cost]
        if other_price is None:
            continue
        theirs = (other.accuracy, other.worst_case, -other_price)
        mine = (one.accuracy, one.worst_case, -price)
        if theirs != mine and all(a >= b for a, b in zip(theirs, mine, strict=True)):
            return False
    return True
