"""Trained models: read from the cache, or trained and cached."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from cnnshift.data.split import Split
from cnnshift.errors import InputError, SaveError
from cnnshift.loaded_model import LoadedModel, Provenance
from cnnshift.models.base import Classifier, build, parse_model
from cnnshift.spec import ModelSpec
from cnnshift.train.augment import parse_augment
from cnnshift.train.fit import fit
from cnnshift.train.recipe import Recipe
from cnnshift.train.weights import load_weights, save_weights, weights_path

log = logging.getLogger("cnnshift")

RECIPE_KEYS = ("augment", "epochs", "seed")
"""Keys of a model spec that belong to the recipe."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A validated model spec with its training recipe.

    Attributes:
        name: canonical spec, architecture first.
        architecture: the spec without the keys of the recipe.
        options: options of the family that differ from the defaults.
        recipe: the training recipe.
        seed: seed of the training run, if the spec sets it.
    """

    name: str
    architecture: ModelSpec
    options: dict[str, str]
    recipe: Recipe
    seed: int | None


def plan_training(spec: ModelSpec, split: Split, *, epochs: int | None = None) -> TrainingPlan:
    """Validate a spec of family, architecture options, and `augment`, `epochs` and `seed` of the recipe.

    `epochs` is the number of epochs unless the spec sets it; 0 leaves the network untrained.

    Raises:
        InputError: unknown family, option or value, or the network does not fit the images.
    """
    recipe_options = {key: value for key, value in spec.options.items() if key in RECIPE_KEYS}
    architecture_options = {key: value for key, value in spec.options.items() if key not in RECIPE_KEYS}
    architecture = ModelSpec(spec.name, architecture_options)
    family, options = parse_model(architecture, also_allowed=RECIPE_KEYS)
    augment = recipe_options.get("augment", "none")
    recipe = Recipe(learning_rate=family.learning_rate_for(options), augment=augment)
    if "epochs" in recipe_options:
        epochs = _parse_whole("epochs", recipe_options["epochs"])
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    parse_augment(augment, split)
    _abstract(architecture, split, 0)
    seed = _parse_whole("seed", recipe_options["seed"]) if "seed" in recipe_options else None
    changed = options.changed()
    shown = {key: value for key, value in recipe_options.items() if (key, value) != ("augment", "none")}
    return TrainingPlan(str(ModelSpec(spec.name, changed | shown)), architecture, changed, recipe, seed)


def _parse_whole(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) >= 2**31:
        raise InputError(f"The model option {key} is '{value}'; allowed: whole numbers from 0 to {2**31 - 1}.")
    return int(value)


def load_or_train(
    plan: TrainingPlan,
    split: Split,
    *,
    seed: int,
    weights_file: Path | None = None,
    progress: Callable[[int], None] = lambda steps: None,
) -> LoadedModel:
    """Return a trained model with cached weights, or train it and cache its weights.

    `seed` determines the initial weights, the order of the images and the augmentation. `weights_file` has weights to
    use instead of the cache, without training.

    Raises:
        InputError: `weights_file` cannot be used.
        MeasurementError: training diverged.
    """
    model = _abstract(plan.architecture, split, seed)
    path = weights_file or _cached_path(plan, split, seed)
    if weights_file or path.exists():
        try:
            recipe, loss = load_weights(model, path)
            log.debug("%s seed %d: weights from %s", plan.name, seed, path.name)
            model.eval()
            return _loaded(plan, model, seed, recipe=recipe, loss=loss, cached=True)
        except InputError as error:
            if weights_file:
                raise
            log.warning("%s Training again.", error)
    started, recipe = time.perf_counter(), asdict(plan.recipe)
    if plan.recipe.epochs:
        log.info("Training %s, seed %d", plan.name, seed)
    model = nnx.jit(lambda: _build(plan.architecture, split, seed))()
    loss = fit(model, split, plan.recipe, seed=seed, progress=progress)
    try:
        save_weights(model, path, recipe=recipe, loss=loss)
    except SaveError as error:
        # The measurement does not need the cache.
        log.warning("Weights are not cached: %s", error)
    return _loaded(plan, model, seed, recipe=recipe, loss=loss, seconds=time.perf_counter() - started)


def _loaded(plan: TrainingPlan, model: Classifier, seed: int, **training: Any) -> LoadedModel:
    provenance = Provenance(
        name=plan.name,
        family=plan.architecture.name,
        family_version=type(model).version,
        options=plan.options,
        seed=seed,
        **training,
    )
    return LoadedModel(model, provenance=provenance)


def _cached_path(plan: TrainingPlan, split: Split, seed: int) -> Path:
    family, options = parse_model(plan.architecture)
    name, options = plan.architecture.name, options.model_dump(mode="json")
    return weights_path(
        recipe=asdict(plan.recipe),
        model={"family": name, "version": family.version, "options": options},
        data={"fingerprint": split.fingerprint, "shape": [*split.size, split.channels], "classes": len(split.classes)},
        run={"seed": seed, "backend": jax.default_backend(), "xla_flags": os.environ.get("XLA_FLAGS", "")},
    )


def _build(spec: ModelSpec, split: Split, seed: int) -> Classifier:
    return build(spec, (*split.size, split.channels), len(split.classes), seed=seed)


def _abstract(spec: ModelSpec, split: Split, seed: int) -> Classifier:
    # Shapes only, without computation.
    return nnx.eval_shape(lambda: _build(spec, split, seed))
