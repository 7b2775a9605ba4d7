"""Rank and Pareto front of the models of one contract: accuracy, worst-case accuracy and cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnnshift.comparison.records import RankedModel
from cnnshift.results.aggregate import ContractGroup, ModelRuns, seed_mean


@dataclass(frozen=True, slots=True)
class _Scores:
    model: ModelRuns
    accuracy: float
    worst_case: float
    costs: Mapping[str, int | float | None]


def rank_models(group: ContractGroup) -> list[RankedModel]:
    """Return the models in the order of their rank, without those that lack one of the two accuracies."""
    scored = list(_scores(group))
    ranking = []
    for one in sorted(scored, key=lambda one: (-one.worst_case, -one.accuracy)):
        run = one.model.runs[0]
        ranking.append(
            RankedModel(
                model=one.model.model,
                dataset=run.dataset.name,
                protocol=run.protocol.label,
                rank=1 + sum(other.worst_case > one.worst_case for other in scored),
                accuracy=one.accuracy,
                worst_case_accuracy=one.worst_case,
                params=run.params,
                flops=run.flops,
                images_per_second=_speed(one.model),
                pareto=[cost for cost in one.costs if _is_on_front(one, scored, cost)],
            )
        )
    return ranking


def _scores(group: ContractGroup) -> Iterator[_Scores]:
    for model in group.models:
        accuracy, worst_case = (seed_mean(model.runs, id) for id in ("accuracy", "worst_case_accuracy"))
        if accuracy and worst_case:
            run, speed = model.runs[0], _speed(model)
            costs = {"params": run.params, "flops": run.flops, "time": 1 / speed if speed > 0 else None}
            yield _Scores(model, accuracy.value, worst_case.value, costs)


def _speed(model: ModelRuns) -> float:
    return float(np.mean([run.timing.images_per_second for run in model.runs]))


def _is_on_front(one: _Scores, scored: Sequence[_Scores], cost: str) -> bool:
    """Return whether no other model dominates in this cost; models with an unknown cost are not compared."""
    scores = [
        (other.accuracy, other.worst_case, -value) for other in scored if (value := other.costs[cost]) is not None
    ]
    if (value := one.costs[cost]) is None:
        return False
    target = (one.accuracy, one.worst_case, -value)
    return not any(other != target and all(a >= b for a, b in zip(other, target, strict=True)) for other in scores)
