"""Adapt models to the images and classes of a data set."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cnnshift.bench.images import no_training_images
from cnnshift.catalog import LOADERS
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel, Provenance
from cnnshift.loaders.host_callback import as_traceable
from cnnshift.loaders.loader import find_columns, is_pretrained, load_model
from cnnshift.results.schema import DatasetRecord
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.sweep.pure_model import as_pure_model, count_logits
from cnnshift.train.load_or_train import TrainingPlan, plan_training


def load_pretrained(text: str) -> LoadedModel:
    """Load the model of a spec.

    Raises:
        InputError: The spec names a family, which must be trained first; see also `load_model`.
    """
    spec = ModelSpec.parse(text)
    if not is_pretrained(spec):
        raise InputError(
            f"The model '{text}' must be trained, as by `cnnshift bench`; allowed: {', '.join(LOADERS)}, or a "
            "model object."
        )
    return load_model(spec)


def plan_for_dataset(spec: ModelSpec, data: str, test: Split, *, epochs: int | None) -> tuple[TrainingPlan, Split]:
    """Plan the training of a model on a data set, and return the plan and its images.

    The images are the test images if the data set has no others and the model is not trained.

    Raises:
        InputError: The spec is invalid, or the model has to be trained and the data set has only test images.
    """
    dataset = create_dataset(DatasetSpec.parse(data))
    images = dataset.load("train") if dataset.has_train else test
    plan = plan_training(spec, images, epochs=epochs)
    if plan.recipe.epochs and not dataset.has_train:
        raise InputError(no_training_images(str(dataset.spec), plan.name))
    return plan, images


def wrap_model(model: Callable[[Any], Any], name: str) -> LoadedModel:
    """Return a model object as a `LoadedModel`.

    Raises:
        InputError: It is a PyTorch module.
    """
    if any(base.__module__.startswith("torch.") for base in inspect.getmro(type(model))):
        raise InputError(
            f"The model is a PyTorch module ({type(model).__name__}); allowed: its spec, 'torch:FILE.py:factory', or a "
            "function of numpy arrays."
        )
    return LoadedModel(model, provenance=Provenance(name=name, family=type(model).__name__))


def adapt_model(model: LoadedModel, test: Split, *, more_classes: bool = False) -> LoadedModel:
    """Adapt a pretrained model to a data set: select the logits of its classes, and wrap a function of numpy arrays.

    Args:
        model: the model.
        test: images at the size that the model accepts, see `crop_to_model`.
        more_classes: whether a model without class names may have more classes than the data.

    Raises:
        InputError: The model does not accept these images, does not return logits, or does not have the classes of the
            data.
    """
    if model.output != "logits":
        raise InputError(f"{model.name} returns {model.output}; allowed: logits.")
    if model.preprocess.size not in (None, test.size):
        expected, actual = ("×".join(map(str, size)) for size in (model.preprocess.size or (), test.size))
        raise InputError(f"{model.name} accepts images of {expected} pixels, but the images have {actual} pixels.")
    names = model.class_names
    columns = None if names in (None, test.classes) else find_columns(names, test.classes)
    function = as_traceable(model.model, model.preprocess, (*test.size, test.channels))
    provenance = replace(model.provenance, recipe=recorded_recipe(model, test))
    model = replace(model, model=function, provenance=provenance)
    logits = count_logits(as_pure_model(model), test)
    if names is not None and logits != len(names):
        raise InputError(
            f"The model returns {logits:,} logits, but classes has {len(names):,} names; allowed: one name per logit."
        )
    if columns is None and logits != len(test.classes) and not more_classes:
        raise InputError(
            f"The model has {logits} classes, but the data have {len(test.classes)}; name the model's classes, one per "
            "line of a text file, with classes=FILE."
        )
    return replace(model, columns=columns)


def recorded_recipe(model: LoadedModel, test: Split) -> dict[str, Any]:
    """Return the recipe of a run: that of the model, with a digest of its class names if they select logits."""
    names = model.class_names
    if names in (None, test.classes):
        return dict(model.provenance.recipe)
    return {**model.provenance.recipe, "classes": hashlib.sha256(repr(names).encode()).hexdigest()[:16]}


def crop_to_model(model: LoadedModel, test: Split, record: DatasetRecord) -> tuple[Split, DatasetRecord]:
    """Return images and their record at the size that a model accepts; the rest of each image becomes context.

    Raises:
        InputError: The images are too small.
    """
    cropped = test.with_window(window_size([model], test))
    return cropped, record.model_copy(update={"size": cropped.size, "fingerprint": cropped.fingerprint})


def window_size(models: Sequence[LoadedModel], test: Split) -> tuple[int, int]:
    """Return the image size (H, W) that the models accept; that of the data if all accept any size.

    Raises:
        InputError: Two models accept different sizes.
    """
    sizes = {model.preprocess.size: model.name for model in models if model.preprocess.size}
    if len(sizes) > 1:
        listed = ", ".join(f"{name} {size[0]}×{size[1]}" for size, name in sizes.items() if size)
        raise InputError(f"The models accept images of different sizes ({listed}); measure them one by one.")
    return next((size for size in sizes if size), test.size)
