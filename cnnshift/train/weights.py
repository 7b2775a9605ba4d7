"""Files of trained weights (safetensors), and their names in the cache."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from cnnshift.cache import cache_dir
from cnnshift.errors import InputError
from cnnshift.files import write_bytes
from cnnshift.models.arrays import arrays_by_name, arrays_digest, fill_arrays


def weights_path(**key: Mapping[str, Any]) -> Path:
    """Return the path of cached weights, whose name is a hash of JSON values: everything that they depend on."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_dir("weights") / f"{digest[:32]}.safetensors"


def named_weights_path(folder: Path, spec: str, seed: int) -> Path:
    """Return the path of a model's weights in a user's folder, named after its spec and seed."""
    return folder / f"{re.sub(r'[^A-Za-z0-9_=,.-]', '-', spec)}-seed{seed}.safetensors"


def save_weights(model: nnx.Module, path: Path, *, recipe: Mapping[str, Any], loss: float | None) -> None:
    """Write a model's weights, recipe and training loss atomically.

    Raises:
        SaveError: the file cannot be written.
    """
    arrays = {name: np.array(leaf) for name, leaf in arrays_by_name(model).items()}
    metadata = {"digest": arrays_digest(sorted(arrays.items())), "loss": json.dumps(loss), "recipe": json.dumps(recipe)}
    write_bytes(path, safetensors.numpy.save(arrays, metadata))


def load_weights(model: nnx.Module, path: Path) -> tuple[Mapping[str, Any], float | None]:
    """Replace a model's weights by those of a file that `save_weights` wrote; return its recipe and training loss.

    The model has the same structure; its arrays may be abstract. The loss is None for an untrained network.

    Raises:
        InputError: the file does not exist, is damaged, or belongs to another network.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if metadata.get("digest") != arrays_digest(sorted(arrays.items())):
            raise ValueError("their checksum does not match")
        fill_arrays(model, arrays)
        return json.loads(metadata["recipe"]), json.loads(metadata["loss"])
    except FileNotFoundError:
        raise InputError(f"{path}: the file of weights does not exist.") from None
    except (safetensors.SafetensorError, ValueError, KeyError, OSError) as error:
        raise InputError(f"The weights {path} cannot be used: {error}.") from None
