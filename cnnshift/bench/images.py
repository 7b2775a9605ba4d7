"""The test images of a measurement: a data set by its spec, a `Split`, or arrays."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from cnnshift.config import MeasureConfig
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.results.schema import DatasetRecord
from cnnshift.spec import DatasetSpec

log = logging.getLogger("cnnshift")

Images = str | Split | tuple[Any, Any]
"""A data set spec, a split, or (images [n h w c], labels [n])."""


def test_images(data: Images, limit: int | None) -> tuple[Split, DatasetRecord]:
    """Load the test images and make their entry in the result file.

    Args:
        data: a data set spec, whose test split is used, or images.
        limit: number of images, a seeded subset; None for all.

    Raises:
        InputError: an unknown data set, or arrays that are not images and labels.
    """
    if isinstance(data, str):
        dataset = create_dataset(DatasetSpec.parse(data))
        log.info("Loading the data set %s", dataset.spec)
        test = dataset.load("test", limit=limit)
        return test, dataset_record(str(dataset.spec), dataset.version, test)
    if not isinstance(data, Split) and not (isinstance(data, tuple) and len(data) == 2):
        raise InputError(
            f"data is of type {type(data).__name__}; allowed: a data set spec, a pair (images [n h w c], labels [n]), "
            "or a cnnshift.Split."
        )
    test = data if isinstance(data, Split) else _as_split(*data)
    test = test if limit is None else test.take(limit)
    # The name is part of the contract: other words would make earlier results incomparable.
    return test, dataset_record("(own images)", "", test)


def dataset_record(name: str, version: str, test: Split) -> DatasetRecord:
    """Return the entry of test images in a result file."""
    return DatasetRecord(
        name=name, version=version, split="test", n=len(test), size=test.size, fingerprint=test.fingerprint
    )


def dataset_spec(config: MeasureConfig) -> DatasetSpec:
    """Return the data set spec of the settings, with the settings that are options of a data set.

    Raises:
        InputError: the spec is invalid, or contradicts one of these settings.
    """
    options = {key: getattr(config, key) for key in ("canvas", "data_dir", "raw_dir", "split")}
    return DatasetSpec.parse(config.dataset).extend(**options)


def no_training_images(dataset: str, model: str) -> str:
    """Return the message about a model that cannot be trained because the data set has only test images."""
    return (
        f"The data set '{dataset}' has no images to train '{model}' on; "
        "add a split 'train' to it, use a pretrained model, or leave the model untrained (epochs 0)."
    )


def _as_split(images: Any, labels: Any) -> Split:
    pixels, classes = np.asarray(images), np.asarray(labels)
    if pixels.ndim != 4 or classes.shape != pixels.shape[:1] or not np.issubdtype(classes.dtype, np.integer):
        raise InputError(
            f"data has images of shape {pixels.shape} and {classes.dtype} labels of shape {classes.shape}; allowed: "
            "images [n h w c] and one integer per image."
        )
    names = tuple(str(index) for index in range(int(classes.max(initial=0)) + 1))
    pixels = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    return Split(pixels, classes, names, background=(0.0,) * pixels.shape[-1])
