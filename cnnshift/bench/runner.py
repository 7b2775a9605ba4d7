"""Run a plan cell by cell; the callback can save every finished cell."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import cnnshift
from cnnshift.bench.cell import measure_cell
from cnnshift.bench.images import no_training_images
from cnnshift.bench.models import adapt_model
from cnnshift.bench.plan import BenchCell, BenchPlan
from cnnshift.bench.resume import reusable_runs
from cnnshift.config import as_dict
from cnnshift.errors import InputError, NotFiniteError
from cnnshift.loaded_model import LoadedModel
from cnnshift.observations import Observations
from cnnshift.results.environment import describe_environment
from cnnshift.results.schema import Result, Run
from cnnshift.sweep.device import describe_device
from cnnshift.train.load_or_train import TrainingPlan, load_or_train
from cnnshift.train.weights import named_weights_path, save_weights


class BenchCallback(Protocol):
    """Receives the events of a benchmark."""

    def on_train_start(self, cell: BenchCell, steps: int) -> Callable[[int], None]:
        """Return a function that is called with the number of training steps that were just finished."""
        ...

    def on_sweep_start(self, cell: BenchCell, image_shifts: int) -> Callable[[int], None]:
        """Return a function that is called with the number of image-shifts that were just finished."""
        ...

    def on_cell_end(self, cell: BenchCell, run: Run, result: Result) -> None:
        """Handle a finished cell; `result` has all runs so far."""
        ...

    def on_cell_reused(self, cell: BenchCell, run: Run) -> None:
        """Handle a cell that an earlier, interrupted benchmark finished."""
        ...


def run_plan(
    plan: BenchPlan,
    callback: BenchCallback,
    *,
    earlier: Result | None = None,
    weights: Path | None = None,
    save_weights_in: Path | None = None,
    save_observations: Callable[[BenchCell, Observations], None] = lambda cell, observations: None,
) -> Result:
    """Measure every cell of a plan.

    Args:
        plan: the benchmark.
        callback: receives every event, and can save the result after every cell.
        earlier: result of an interrupted run of the same plan, whose cells are reused.
        weights: directory of saved weights, used instead of training.
        save_weights_in: directory in which to save the trained weights.
        save_observations: called with the observations of every cell.

    Returns:
        The complete result.

    Raises:
        InputError: the earlier result belongs to another plan, or saved weights are missing or invalid.
        MeasurementError: training diverged, memory is exhausted, or a trained model returns logits that are not finite.
        SaveError: weights cannot be saved.
    """
    template = new_result(plan, weights)
    reusable = reusable_runs(plan, earlier, template) if earlier else {}
    runs: list[Run] = []
    last: tuple[str, int, LoadedModel] | None = None
    for cell in plan.cells():
        key = (cell.model.name, cell.seed, cell.shift_plan.contract)
        if key in reusable:
            runs.append(reusable[key])
            callback.on_cell_reused(cell, reusable[key])
            continue
        # The protocols of a model follow each other and share its weights.
        if last is None or last[:2] != key[:2]:
            with _name_model_in_errors(cell, plan):
                loaded = _load_model(plan, cell, callback, weights)
            if save_weights_in and isinstance(cell.model, TrainingPlan):
                path = named_weights_path(save_weights_in, cell.model.name, cell.seed)
                recipe, loss = loaded.provenance.recipe, loaded.provenance.loss
                save_weights(loaded.model, path, recipe=recipe, loss=loss)  # pyright: ignore[reportArgumentType]
            last = (*key[:2], loaded)
        with _name_model_in_errors(cell, plan):
            run, observations = measure_cell(
                last[2],
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


def new_result(plan: BenchPlan, weights: Path | None = None) -> Result:
    """Return a result without runs.

    Raises:
        InputError: the directory of saved weights lacks a model of the plan, or there are no images to train a model.
    """
    if plan.trained_models and not plan.train and not weights:
        raise InputError(no_training_images(plan.dataset.name, plan.trained_models[0].name))
    return Result(
        status="partial",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        cnnshift_version=cnnshift.__version__,
        config=_config(plan) | {"weights": _weights_digest(plan, weights) if weights else None},
        environment=describe_environment(describe_device()),
        runs=[],
    )


def _config(plan: BenchPlan) -> dict[str, Any]:
    """Return the settings for the result file, without directories of this machine."""
    names = {"models": [model.name for model in plan.models], "dataset": plan.dataset.name}
    return as_dict(plan.config) | names | {"data_dir": None, "raw_dir": None}


def _weights_digest(plan: BenchPlan, folder: Path) -> str:
    trained = (cell for cell in plan.cells() if isinstance(cell.model, TrainingPlan))
    needed = dict.fromkeys((cell.model.name, cell.seed) for cell in trained)
    paths = [(f"{name} seed {seed}", named_weights_path(folder, name, seed)) for name, seed in needed]
    if missing := [f"{name} ({path.name})" for name, path in paths if not path.is_file()]:
        raise InputError(f"{folder} has no weights of {', '.join(missing)}; create them with --save-weights.")
    digest = hashlib.sha256()
    for _, path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _load_model(plan: BenchPlan, cell: BenchCell, callback: BenchCallback, weights: Path | None) -> LoadedModel:
    if isinstance(cell.model, LoadedModel):
        return adapt_model(cell.model, plan.test)
    # A model that is not trained needs the shape of the images only.
    train = plan.train or plan.test
    return load_or_train(
        cell.model,
        train,
        seed=cell.seed,
        weights_file=weights and named_weights_path(weights, cell.model.name, cell.seed),
        progress=callback.on_train_start(cell, 0 if weights else cell.model.recipe.steps(len(train))),
    )


@contextlib.contextmanager
def _name_model_in_errors(cell: BenchCell, plan: BenchPlan) -> Iterator[None]:
    name = cell.model.name
    try:
        yield
    except NotFiniteError as error:
        # A pretrained model that returns such logits is invalid input.
        raise (InputError(f"{name}: {error}") if isinstance(cell.model, LoadedModel) else error) from None
    except InputError as error:
        if len(plan.models) == 1 or str(error).startswith(name):
            raise
        raise InputError(f"{name}: {error}") from error
