"""The images that a function of the Python API is given: a data set by name, or one's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnshift.config import BenchSettings
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.results.schema import DatasetRecord
from cnnshift.spec import DatasetSpec

Images = str | Split | tuple[Any, Any]
"""A data set spec, a split, or (images [n h w c], labels [n])."""


def test_images(data: Images, limit: int | None) -> tuple[Split, DatasetRecord]:
    """The images to measure on, and what a run says about them.

    Args:
        data: a data set spec, whose test split is taken, or images of one's own.
        limit: number of images, a seeded subset; None for all.

    Raises:
        InputError: an unknown data set, or arrays that are no images and labels.
    """
    if isinstance(data, str):
        dataset = create_dataset(DatasetSpec.parse(data))
        test, name, version = dataset.load("test", limit=limit), str(dataset.spec), dataset.version
    else:
        test, name, version = _as_split(*data) if isinstance(data, tuple) else data, "(own images)", ""
        test = test if limit is None else test.take(limit)
    record = DatasetRecord(
        name=name, version=version, split="test", n=len(test), size=test.size, fingerprint=test.fingerprint
    )
    return test, record


def dataset_spec(settings: BenchSettings) -> DatasetSpec:
    """The data set of the settings, with those settings that stand for options of it.

    Raises:
        InputError: not a spec, or one that says otherwise.
    """
    more = {key: getattr(settings, key) for key in ("canvas", "data_dir", "raw_dir", "split")}
    return DatasetSpec.parse(settings.dataset).extend(**more)


def no_training_images(dataset: str, model: str) -> str:
    """What is wrong where a model is to be trained on a data set that has only test images."""
    return (
        f"The data set '{dataset}' has no images to train '{model}' on; "
        "add a split 'train' to it, give a model that comes with its weights, or leave it untrained (epochs 0)."
    )


def _as_split(images: Any, labels: Any) -> Split:
    pixels, classes = np.asarray(images), np.asarray(labels)
    if pixels.ndim != 4 or classes.shape != pixels.shape[:1] or not np.issubdtype(classes.dtype, np.integer):
        raise InputError(
            f"data has images of shape {pixels.shape} and {classes.dtype} labels of shape {classes.shape}; allowed: "
            "images [n h w c] and one whole number per image."
        )
    names = tuple(str(index) for index in range(int(classes.max(initial=0)) + 1))
    pixels = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    return Split(pixels, classes, names, background=(0.0,) * pixels.shape[-1])
