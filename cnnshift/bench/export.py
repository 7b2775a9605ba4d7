"""Export a model as ONNX and check it against the original."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cnnshift.bench.images import test_images
from cnnshift.bench.models import adapt_model, crop_to_model, plan_for_dataset
from cnnshift.config import MeasureConfig
from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import InputError, MeasurementError
from cnnshift.files import write_bytes
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.extras import import_extra
from cnnshift.loaders.host_callback import in_batches
from cnnshift.loaders.loader import is_pretrained, load_model
from cnnshift.models.layers.xla import export_mode
from cnnshift.spec import ModelSpec
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.train.load_or_train import load_or_train

CHECKED_IMAGES = 64
"""Test images on which the exported model is compared with the original."""

TOLERANCE = 1e-4
"""Largest allowed difference of a logit, relative to the largest logit."""

BATCH_SIZE = 16
"""Batch size of a model that cannot be exported for every batch size."""

log = logging.getLogger("cnnshift")


@dataclass(frozen=True, slots=True)
class Export:
    """A model that was exported.

    Attributes:
        name: the canonical spec of the model.
        shape: of its input; the name "n" stands for any batch size.
        parameters: number of parameters; None for a function that hides them.
        images: number of images on which it was compared with the original.
        equal_predictions: number of these with the same predicted class.
        difference: largest difference of a logit, relative to the largest logit.
    """

    name: str
    shape: tuple[int | str, ...]
    parameters: int | None
    images: int
    equal_predictions: int
    difference: float


def export_onnx(path: Path, config: MeasureConfig) -> Export:
    """Write a model as ONNX: images [n h w c] on the scale 0..1 → logits [n k].

    The model accepts any batch size if its layers allow it, else `BATCH_SIZE`. Before the file is written, onnxruntime
    runs the model on test images, and the logits are compared with those of the original.

    Args:
        path: the file to write.
        config: settings with one model, which is trained as by `cnnshift bench`.

    Raises:
        InputError: a package is missing, the model cannot be expressed in ONNX, or its logits are not finite.
        MeasurementError: the logits of the exported model differ from those of the original.
        SaveError: the file cannot be written.
    """
    for package in ("jax2onnx", "onnxruntime"):
        import_extra(package, "export")
    loaded, test = _load(config)
    pure = as_pure_model(loaded)
    images = to_unit_range(test.windows[:CHECKED_IMAGES])
    expected = np.asarray(pure.apply(pure.state, jnp.asarray(images))[0])
    if not np.isfinite(expected).all():
        raise InputError(f"{loaded.name}: the model returns logits that are not finite.")
    log.info("Exporting %s", loaded.name)
    shape: tuple[int | str, ...] = ("n", *images.shape[1:])
    try:
        content = _convert(loaded, shape)
    except Exception as error:
        log.debug("export for any batch size failed: %s", error)
        shape = (BATCH_SIZE, *images.shape[1:])
        try:
            content = _convert(loaded, shape)
        except Exception as again:
            reason = f"{type(again).__name__}: {again}".partition("\n")[0]
            raise InputError(f"{loaded.name} cannot be expressed in ONNX ({reason}).") from again
    log.info("Comparing the exported model with the original")
    logits = _run(content, images, shape[0])
    difference = float(np.abs(logits - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise MeasurementError(
            f"The logits of the exported model differ from those of {loaded.name} by {difference:.1e} of the largest; "
            f"allowed: {TOLERANCE:.0e}. No file was written."
        )
    write_bytes(path, content)
    equal = int((logits.argmax(axis=1) == expected.argmax(axis=1)).sum())
    return Export(loaded.name, shape, pure.parameters, len(images), equal, difference)


def _load(config: MeasureConfig) -> tuple[LoadedModel, Split]:
    (model,) = config.models
    spec = ModelSpec.parse(model)
    test, record = test_images(config.dataset, None)
    if is_pretrained(spec):
        loaded = load_model(spec)
        if config.epochs is not None or config.seed:
            raise InputError(f"{model} is pretrained; --epochs and --seed are not allowed.")
        test, _ = crop_to_model(loaded, test, record)
        loaded = adapt_model(loaded, test)
        if as_pure_model(loaded).host_runtime is not None:
            raise InputError(f"{model} runs outside of JAX; allowed: models that JAX can trace.")
        return loaded, test
    plan, images = plan_for_dataset(spec, config.dataset, test, epochs=config.epochs)
    return load_or_train(plan, images, seed=config.seed if plan.seed is None else plan.seed), test


def _convert(model: LoadedModel, shape: tuple[int | str, ...]) -> bytes:
    jax2onnx = import_extra("jax2onnx", "export")
    # jax2onnx must not reuse earlier traces, nor leave its own for later calls.
    jax.clear_caches()
    try:
        # It warns about shapes that it infers and does not use.
        logging.getLogger("onnx_ir").setLevel(logging.ERROR)
        with export_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = jax2onnx.to_onnx(model.classifier, [shape], input_names=["images"], output_names=["logits"])
    finally:
        jax.clear_caches()
    return proto.SerializeToString()


def _run(content: bytes, images: Float[np.ndarray, "n h w c"], batch: int | str) -> Float[np.ndarray, "n k"]:
    onnxruntime = import_extra("onnxruntime", "export")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])

    return run(images) if isinstance(batch, str) else in_batches(run, batch, batch)(images)
