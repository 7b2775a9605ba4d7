"""Files of trained weights (safetensors), and their names in the cache."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from cnnshift.cache import cache_dir
from cnnshift.errors import InputError
from cnnshift.files import write_bytes
from cnnshift.models.arrays import arrays_by_name, fill_arrays


def weights_path(
    recipe: Mapping[str, Any], model: Mapping[str, Any], data: Mapping[str, Any], run: Mapping[str, Any]
) -> Path:
    """Return the path of cached weights, whose name is a hash of all arguments.

    Args:
        recipe: values of the recipe.
        model: family, its version and all its options.
        data: fingerprint of the training split, image shape and number of classes.
        run: seed, backend and XLA flags.
    """
    key = json.dumps({"recipe": recipe, "model": model, "data": data, "run": run}, sort_keys=True)
    return cache_dir("weights") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"


def named_weights_path(folder: Path, spec: str, seed: int) -> Path:
    """Return the path of a model's weights in a user's folder, named after its spec and seed."""
    return folder / f"{re.sub(r'[^A-Za-z0-9_=,.-]', '-', spec)}-seed{seed}.safetensors"


def save_weights(model: nnx.Module, path: Path, *, recipe: Mapping[str, Any], loss: float | None) -> None:
    """Write a model's weights, recipe and training loss atomically.

    Raises:
        SaveError: the file cannot be written.
    """
    arrays = {name: np.array(leaf) for name, leaf in arrays_by_name(model).items()}
    metadata = {"digest": _digest(arrays), "loss": json.dumps(loss), "recipe": json.dumps(recipe)}
    write_bytes(path, safetensors.numpy.save(arrays, metadata))


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """Recipe and loss in a file of weights; `loss` is None for an untrained network."""

    recipe: Mapping[str, Any]
    loss: float | None


def load_weights(model: nnx.Module, path: Path) -> WeightsRecord:
    """Replace a model's weights by those of a file.

    Args:
        model: a model of the same structure; its arrays may be abstract.
        path: a file written by `save_weights`.

    Raises:
        InputError: the file does not exist, is damaged, or belongs to another network.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if metadata.get("digest") != _digest(arrays):
            raise ValueError("their checksum does not match")
        fill_arrays(model, arrays)
        return WeightsRecord(json.loads(metadata["recipe"]), json.loads(metadata["loss"]))
    except FileNotFoundError:
        raise InputError(f"{path}: the file of weights does not exist.") from None
    except (safetensors.SafetensorError, ValueError, KeyError, OSError) as error:
        raise InputError(f"The weights {path} cannot be used: {error}.") from None


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(repr((name, arrays[name].dtype.str, arrays[name].shape)).encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
