"""A network for other tools: as ONNX, checked against itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnnshift.bench.images import no_training_images, test_images
from cnnshift.bench.models import adapt_model, crop_to_model
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import InputError, MeasurementError
from cnnshift.files import write_bytes
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.extras import import_extra
from cnnshift.loaders.host_callback import in_batches
from cnnshift.loaders.loader import is_pretrained, load_model
from cnnshift.models.layers.export_mode import export_mode
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.train.load_or_train import load_or_train, plan_training

CHECKED_IMAGES = 64
"""Test images on which the exported network must say what the original says."""

TOLERATED = 1e-4
"""Largest difference of a logit, relative to the largest logit, that rounding explains."""

FIXED = 16
"""Images of a call, where a network cannot be exported for any number."""

log = logging.getLogger("cnnshift")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        label: the network.
        shape: of its input, a name where any number of images goes.
        parameters: number of trained values, None for a function that hides them.
        images: on which it was compared with the original.
        agreeing: of these, with the same class.
        difference: largest of a logit, relative to the largest logit.
    """

    label: str
    shape: tuple[int | str, ...]
    parameters: int | None
    images: int
    agreeing: int
    difference: float


def export_onnx(
    model: str,
    path: Path,
    *,
    dataset: str,
    epochs: int | None,
    seed: int,
    say: Callable[[str], None] = lambda what: None,
) -> Exported:
    """Write a network as ONNX: images [n h w c] on the scale 0..1 → logits [n k].

    It takes any number of images where its layers allow that, else `FIXED` a call. It is run by onnxruntime before it
    is written.

    Args:
        model: a model spec, trained as `cnnshift bench` would.
        path: of the file.
        dataset: data set spec.
        epochs: of training; None for the recipe's.
        seed: of training.
        say: is told what is done next.

    Raises:
        InputError: a package is missing, the network cannot be expressed in ONNX, or its logits are not finite.
        MeasurementError: the exported network says something else than the original.
        SaveError: the file cannot be written.
    """
    for package in ("jax2onnx", "onnxruntime"):
        import_extra(package, "export")
    loaded, test = _load(model, dataset, epochs, seed, say)
    pure = as_pure_model(loaded)
    images = to_unit_range(test.windows[:CHECKED_IMAGES])
    expected = np.asarray(pure.apply(pure.state, jnp.asarray(images))[0])
    if not np.isfinite(expected).all():
        raise InputError(f"{loaded.name}: the model gave logits that are not finite numbers.")
    say("writing the graph")
    shape: tuple[int | str, ...] = ("n", *images.shape[1:])
    try:
        content = _convert(loaded, shape)
    except Exception as problem:
        log.debug("not for any number of images: %s", problem)
        shape = (FIXED, *images.shape[1:])
        try:
            content = _convert(loaded, shape)
        except Exception as again:
            reason = f"{type(again).__name__}: {again}".partition("\n")[0]
            raise InputError(f"{loaded.name} cannot be expressed in ONNX ({reason}).") from again
    say("comparing it with the original")
    found = _run(content, images, shape[0])
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not difference <= TOLERATED:
        raise MeasurementError(
            f"The exported network differs from {loaded.name} by {difference:.1e} of the largest logit; "
            f"allowed: {TOLERATED:.0e}. Nothing was written."
        )
    write_bytes(path, content)
    agreeing = int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
    return Exported(loaded.name, shape, pure.parameters, len(images), agreeing, difference)


def _load(
    model: str, dataset: str, epochs: int | None, seed: int, say: Callable[[str], None]
) -> tuple[LoadedModel, Split]:
    spec = ModelSpec.parse(model)
    test, record = test_images(dataset, None)
    if is_pretrained(spec):
        loaded = load_model(spec)
        if epochs is not None or seed:
            raise InputError(f"{model} comes with its weights; allowed without --epochs and --seed.")
        test, _ = crop_to_model(loaded, test, record)
        loaded = adapt_model(loaded, test)
        if as_pure_model(loaded).host_runtime is not None:
            raise InputError(f"{model} does not run as arrays of jax; allowed: networks of Flax.")
        return loaded, test
    source = create_dataset(DatasetSpec.parse(dataset))
    train = source.load("train") if source.has_train else test
    training = plan_training(spec, train, epochs=epochs)
    if training.epochs and not source.has_train:
        raise InputError(no_training_images(record.name, training.name))
    say(f"training {training.name}, or reading its weights")
    return load_or_train(training, train, seed=seed if training.seed is None else training.seed), test


def _convert(model: LoadedModel, shape: tuple[int | str, ...]) -> bytes:
    jax2onnx = import_extra("jax2onnx", "export")
    # What was traced before would be taken from a cache, and what is traced now must not be found there later.
    jax.clear_caches()
    try:
        # It warns of shapes that it has found and does not use.
        logging.getLogger("onnx_ir").setLevel(logging.ERROR)
        with export_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = jax2onnx.to_onnx(model.classifier, [shape], input_names=["images"], output_names=["logits"])
    finally:
        jax.clear_caches()
    return proto.SerializeToString()


def _run(content: bytes, images: np.ndarray, batch: int | str) -> np.ndarray:
    onnxruntime = import_extra("onnxruntime", "export")
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, quiet, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])

    return run(images) if isinstance(batch, str) else in_batches(run, batch)(images)
