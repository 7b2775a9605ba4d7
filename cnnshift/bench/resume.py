"""Find the runs of an interrupted benchmark that can be reused."""

from __future__ import annotations

from dataclasses import asdict

import cnnshift
from cnnshift.bench.models import recorded_recipe
from cnnshift.bench.plan import BenchPlan
from cnnshift.catalog import METRICS
from cnnshift.errors import ResumeError
from cnnshift.loaded_model import LoadedModel
from cnnshift.results.schema import Result, Run
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.train.load_or_train import TrainingPlan


def reusable_runs(plan: BenchPlan, earlier: Result, template: Result) -> dict[tuple[str, int, str], Run]:
    """Return the runs of an earlier result by model, seed and contract.

    A run is reusable if its metrics have the current versions, and its weights, recipe and code are those of the plan.

    Args:
        plan: the benchmark.
        earlier: the result of its interrupted run.
        template: a new result of the plan.

    Raises:
        ResumeError: the earlier result has other settings, or another version of cnnshift wrote it.
    """
    config = template.config
    different = [key for key, value in config.items() if key != "batch_size" and earlier.config.get(key) != value]
    if different:
        raise ResumeError(
            f"Cannot resume: the earlier result has other settings ({', '.join(different)}). Repeat its command with "
            "--resume, or start again without --resume."
        )
    if earlier.cnnshift_version != cnnshift.__version__:
        raise ResumeError(
            f"Cannot resume: cnnshift {earlier.cnnshift_version} wrote the earlier result, and this is cnnshift "
            f"{cnnshift.__version__}. Start again without --resume."
        )
    versions = {id: METRICS.load(id).spec.version for id in plan.config.metric_ids}
    recipes = {
        model.name: asdict(model.recipe) if isinstance(model, TrainingPlan) else recorded_recipe(model, plan.test)
        for model in plan.models
    }
    digests = {model.name: as_pure_model(model).digest for model in plan.models if isinstance(model, LoadedModel)}
    return {
        (run.model, run.seed, run.contract): run
        for run in earlier.runs
        if {metric.id: metric.version for metric in run.metrics} == versions
        and (config["weights"] or run.training.recipe == recipes.get(run.model))
        and digests.get(run.model, run.weights_digest) == run.weights_digest
    }
