"""A trained model for a spec: from the cache, or by training."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    """A validated model spec, with the recipe that trains it.

    Attributes:
        name: the canonical spec, architecture first.
        architecture: the spec without the recipe's keys.
        options: the family's options that differ from its defaults.
        recipe: how it is trained.
        seed: of the training run, if the spec fixes it.
    """

    name: str
    architecture: ModelSpec
    options: dict[str, str]
    recipe: Recipe
    seed: int | None

    @property
    def epochs(self) -> int:
        """Of training; 0 leaves the network untrained."""
        return self.recipe.epochs


def plan_training(spec: ModelSpec, split: Split, *, epochs: int | None = None) -> TrainingPlan:
    """Validate a model spec before anything is measured.

    Args:
        spec: family, architecture options, and the recipe's `augment`, `epochs` and `seed`.
        split: the images it has to fit.
        epochs: overrides the recipe's; the spec's own number overrides both. 0 leaves the network untrained.

    Raises:
        InputError: unknown family, option or value, or a network that does not fit the images.
    """
    own = {key: value for key, value in spec.options.items() if key in RECIPE_KEYS}
    architecture = ModelSpec(spec.name, {key: value for key, value in spec.options.items() if key not in own})
    family, options = parse_model(architecture, also_allowed=RECIPE_KEYS)
    recipe = Recipe(learning_rate=family.learning_rate_for(options), augment=own.get("augment", "none"))
    if epochs is not None or "epochs" in own:
        recipe = replace(recipe, epochs=_whole("epochs", own["epochs"]) if "epochs" in own else epochs)
    parse_augment(recipe.augment, split)
    _abstract(architecture, split, seed=0)
    changed = options.changed()
    shown = {key: value for key, value in own.items() if (key, value) != ("augment", "none")}
    seed = _whole("seed", own["seed"]) if "seed" in own else None
    return TrainingPlan(str(ModelSpec(spec.name, changed | shown)), architecture, changed, recipe, seed)


def _whole(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) >= 2**31:
        raise InputError(f"The model option {key} is '{value}'; allowed: whole numbers from 0 to {2**31 - 1}.")
    return int(value)


def obtain(
    plan: TrainingPlan,
    split: Split,
    *,
    seed: int,
    kept: Path | None = None,
    progress: Callable[[int], None] = lambda steps: None,
) -> LoadedModel:
    """The trained model: its cached weights, or a training run whose weights are then cached.

    Args:
        plan: what to train, and how.
        split: the training images.
        seed: of the initial weights, the order of the images and the augmentation.
        kept: a file of weights to use instead; nothing is trained then.
        progress: called with the number of steps just done.

    Raises:
        InputError: the kept weights cannot be used.
        MeasurementError: training diverged.
    """
    model = _abstract(plan.architecture, split, seed=seed)
    path = kept or _cached_path(plan, split, seed)
    if kept or path.exists():
        try:
            stored = load_weights(model, path)
            log.debug("%s seed %d: weights from %s", plan.name, seed, path.name)
            model.eval()
            return _loaded(plan, model, seed, recipe=stored.recipe, loss=stored.loss, cached=True)
        except InputError as problem:
            if kept:
                raise
            log.warning("%s Training again.", problem)
    started, recipe = time.perf_counter(), plan.recipe.as_dict()
    if plan.epochs:
        log.info("Training %s, seed %d", plan.label, seed)
    model = nnx.jit(lambda: _build(plan.architecture, split, seed))()
    loss = fit(model, split, plan.recipe, seed=seed, progress=progress)
    try:
        save_weights(model, path, recipe=recipe, loss=loss)
    except SaveError as problem:
        # A cache that cannot be written costs time, not the measurement.
        log.warning("Weights are not cached: %s", problem)
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
    return weights_path(
        plan.recipe.as_dict(),
        {"family": plan.architecture.name, "version": family.version, "options": options.model_dump(mode="json")},
        {"fingerprint": split.fingerprint, "shape": [*split.size, split.channels], "classes": len(split.classes)},
        {"seed": seed, "backend": jax.default_backend(), "xla_flags": os.environ.get("XLA_FLAGS", "")},
    )


def _build(spec: ModelSpec, split: Split, seed: int) -> Classifier:
    return build(spec, (*split.size, split.channels), len(split.classes), seed=seed)


def _abstract(spec: ModelSpec, split: Split, *, seed: int) -> Classifier:
    """The model's structure without any computation."""
    return nnx.eval_shape(lambda: _build(spec, split, seed))
