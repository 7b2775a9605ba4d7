"""Runs a plan cell by cell, and keeps what is finished whatever happens."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cnnshift
from cnnshift.bench.cell import measure_cell
from cnnshift.bench.images import no_training_images
from cnnshift.bench.models import adapt_model, recorded_recipe
from cnnshift.bench.plan import BenchCell, BenchPlan
from cnnshift.catalog import METRICS
from cnnshift.config import as_dict
from cnnshift.errors import InputError, NotFiniteError
from cnnshift.loaded_model import LoadedModel
from cnnshift.observations import Observations
from cnnshift.results.environment import describe_environment
from cnnshift.results.schema import Result, Run
from cnnshift.sweep.device import describe_device
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.train.load_or_train import TrainingPlan, load_or_train
from cnnshift.train.weights import named_weights_path, save_weights


@runtime_checkable
class BenchCallback(Protocol):
    """What a run tells whoever watches it."""

    def on_train_start(self, cell: BenchCell, steps: int) -> Callable[[int], None]:
        """A training run starts; returns what to call with each number of steps done."""
        ...

    def on_sweep_start(self, cell: BenchCell, image_shifts: int) -> Callable[[int], None]:
        """A sweep starts; returns what to call with each number of image-shifts done."""
        ...

    def on_cell_end(self, cell: BenchCell, run: Run, result: Result) -> None:
        """A cell is finished; `result` holds all runs so far."""
        ...

    def on_cell_reused(self, cell: BenchCell, run: Run) -> None:
        """A cell was finished by an earlier, interrupted benchmark."""
        ...


def run_plan(
    plan: BenchPlan,
    callback: BenchCallback,
    *,
    earlier: Result | None = None,
    weights: Path | None = None,
    save_weights_in: Path | None = None,
    save_observations: Callable[[BenchCell, Observations], None] = lambda cell, seen: None,
) -> Result:
    """Measure every cell of a plan.

    Args:
        plan: what to do.
        callback: is told of every step; it writes the result file after every cell.
        earlier: the result of an interrupted run of the same plan, whose cells are kept.
        weights: a folder of kept weights to measure instead of training.
        save_weights_in: a folder to keep the weights in.
        save_observations: is given every cell's observations.

    Returns:
        The complete result.

    Raises:
        InputError: the earlier result belongs to another plan, or kept weights are missing or cannot be used.
        SaveError: weights cannot be kept.
        KeyboardInterrupt: the user stopped; the callback has every finished cell.
    """
    template = new_result(plan, weights)
    kept = _reusable_runs(plan, earlier, template)
    runs: list[Run] = []
    last: tuple[str, int, LoadedModel] | None = None
    for cell in plan.cells():
        key = (cell.network.name, cell.seed, cell.shift_plan.contract)
        if key in kept:
            runs.append(kept[key])
            callback.on_cell_reused(cell, kept[key])
            continue
        # Protocols are the innermost loop: a model's weights serve all of them.
        if last is None or last[:2] != key[:2]:
            with _name_model_in_errors(cell, plan):
                model = _prepare_model(plan, cell, callback, weights)
            if save_weights_in and isinstance(cell.network, TrainingPlan):
                path = named_weights_path(save_weights_in, cell.network.name, cell.seed)
                recipe, loss = model.provenance.recipe, model.provenance.loss
                save_weights(model.model, path, recipe=recipe, loss=loss)  # pyright: ignore[reportArgumentType]
            last = (*key[:2], model)
        model = last[2]
        with _name_model_in_errors(cell, plan):
            run, observations = measure_cell(
                model,
                plan.test,
                plan.dataset,
                cell.shift_plan,
                plan.config,
                progress=callback.on_sweep_start(cell, len(plan.test) * cell.shift_plan.shift_set.count),
            )
        save_observations(cell, observations)
        runs.append(run)
        callback.on_cell_end(cell, run, template.model_copy(update={"runs": list(runs)}))
    return template.model_copy(update={"runs": runs, "status": "complete"})


@contextlib.contextmanager
def _name_model_in_errors(cell: BenchCell, plan: BenchPlan) -> Iterator[None]:
    """Say which network fails. Logits that are not finite are a failure of one of ours, and bad input of one given."""
    label = cell.network.name
    try:
        yield
    except NotFiniteError as problem:
        given = isinstance(cell.network, LoadedModel)
        raise (InputError(f"{label}: {problem}") if given else problem) from None
    except InputError as problem:
        if len(plan.networks) == 1 or str(problem).startswith(label):
            raise
        raise InputError(f"{label}: {problem}") from problem


def new_result(plan: BenchPlan, weights: Path | None = None) -> Result:
    """A result without runs, made now and here.

    Raises:
        InputError: a folder of kept weights lacks a model of the plan, or there are no images to train a model on.
    """
    trained = [
        network.name
        for network in plan.networks
        if isinstance(network, TrainingPlan) and network.epochs and not weights
    ]
    if trained and not plan.train:
        raise InputError(no_training_images(plan.dataset.name, trained[0]))
    return Result(
        status="partial",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        cnnshift_version=cnnshift.__version__,
        config=_config(plan) | {"weights": _digest_of(plan, weights) if weights else None},
        environment=describe_environment(describe_device()),
        runs=[],
    )


def _config(plan: BenchPlan) -> dict[str, Any]:
    """The settings, without folders of this machine."""
    named = {"models": [network.name for network in plan.networks], "dataset": plan.dataset.name}
    return as_dict(plan.config) | named | {"data_dir": None, "raw_dir": None}


def _reusable_runs(plan: BenchPlan, earlier: Result | None, template: Result) -> dict[tuple[str, int, str], Run]:
    if earlier is None:
        return {}
    config = template.config
    different = [key for key, value in config.items() if key != "batch_size" and earlier.config.get(key) != value]
    if different:
        raise InputError(
            f"Cannot resume: the earlier result has other settings ({', '.join(different)}); "
            "repeat its command with --resume, or start anew without."
        )
    if earlier.cnnshift_version != cnnshift.__version__:
        raise InputError(
            f"Cannot resume: the earlier result was made by cnnshift {earlier.cnnshift_version}, this is "
            f"{cnnshift.__version__}; start anew without --resume."
        )
    versions = {id: METRICS.load(id).spec.version for id in plan.config.metric_ids}
    recipes = {
        network.name: network.recipe.as_dict()
        if isinstance(network, TrainingPlan)
        else recorded_recipe(network, plan.test)
        for network in plan.networks
    }
    digests = {
        network.name: as_pure_model(network).digest for network in plan.networks if isinstance(network, LoadedModel)
    }
    return {
        (run.model, run.seed, run.contract): run
        for run in earlier.runs
        if {metric.id: metric.version for metric in run.metrics} == versions
        and (config["weights"] or run.training.recipe == recipes.get(run.model))
        and digests.get(run.model, run.weights_digest) == run.weights_digest
    }


def _digest_of(plan: BenchPlan, folder: Path) -> str:
    """SHA-256 over the files of kept weights that a plan asks for, found before anything is measured."""
    trained = (cell for cell in plan.cells() if isinstance(cell.network, TrainingPlan))
    wanted = dict.fromkeys((cell.network.name, cell.seed) for cell in trained)
    paths = [(f"{label} seed {seed}", named_weights_path(folder, label, seed)) for label, seed in wanted]
    if missing := [f"{whose} ({path.name})" for whose, path in paths if not path.is_file()]:
        raise InputError(f"{folder} holds no weights of {', '.join(missing)}; make them with --save-weights.")
    digest = hashlib.sha256()
    for _, path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _prepare_model(plan: BenchPlan, cell: BenchCell, callback: BenchCallback, weights: Path | None) -> LoadedModel:
    network = cell.network
    if isinstance(network, LoadedModel):
        return adapt_model(network, plan.test)
    # Where nothing is trained, the images only say what the network has to fit.
    train = plan.train or plan.test
    return load_or_train(
        network,
        train,
        seed=cell.seed,
        weights_file=weights and named_weights_path(weights, network.name, cell.seed),
        progress=callback.on_train_start(cell, 0 if weights else network.recipe.steps(len(train))),
    )
