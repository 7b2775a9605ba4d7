"""Rank and Pareto front of the models of one contract: accuracy, worst-case accuracy and cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnshift.comparison.records import RankedModel
from cnnshift.results.aggregate import ContractGroup, seed_mean


def rank_models(group: ContractGroup) -> list[RankedModel]:
    """Return the models in the order of their rank, without those that lack one of the two accuracies."""
    models = []
    for model in group.models:
        run = model.runs[0]
        accuracy, worst_case = (seed_mean(model.runs, id) for id in ("accuracy", "worst_case_accuracy"))
        if accuracy and worst_case:
            ranked = RankedModel(
                model=model.model,
                dataset=run.dataset.name,
                protocol=run.protocol.label,
                rank=0,
                accuracy=accuracy.value,
                worst_case_accuracy=worst_case.value,
                params=run.params,
                flops=run.flops,
                images_per_second=float(np.mean([run.timing.images_per_second for run in model.runs])),
                pareto=[],
            )
            models.append(ranked)
    models.sort(key=lambda one: (-one.worst_case_accuracy, -one.accuracy))
    worst_cases = [one.worst_case_accuracy for one in models]
    ranking = []
    for one in models:
        pareto = [cost for cost in ("params", "flops", "time") if _is_on_front(one, models, cost)]
        rank = 1 + worst_cases.index(one.worst_case_accuracy)
        ranking.append(one.model_copy(update={"rank": rank, "pareto": pareto}))
    return ranking


def _is_on_front(one: RankedModel, models: Sequence[RankedModel], cost: str) -> bool:
    """Return whether no other model dominates in this cost; models with an unknown cost are not compared."""
    target, *others = (_scores(model, cost) for model in (one, *models))
    if target is None:
        return False
    return not any(
        other != target and all(a >= b for a, b in zip(other, target, strict=True)) for other in others if other
    )


def _scores(model: RankedModel, cost: str) -> tuple[float, float, float] | None:
    """Return both accuracies and the negative cost; None if the cost is unknown."""
    speed = model.images_per_second
    value = (1 / speed if speed > 0 else None) if cost == "time" else getattr(model, cost)
    return None if value is None else (model.accuracy, model.worst_case_accuracy, -value)
