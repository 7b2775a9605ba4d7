"""Weights of a network of the user's own: safetensors, or an Orbax checkpoint; never a pickle."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from flax import nnx

from cnnshift.errors import InputError
from cnnshift.models.arrays import array_name, fill_arrays


def read_weights(module: nnx.Module, path: Path) -> None:
    """Fill a module with the weights of a safetensors file or of the folder of an Orbax checkpoint.

    Arrays are known by the names of their attributes, joined by dots: `blocks.0.kernel`. All of the module's must be
    there, trained values and running statistics, and no others; streams of random numbers do not count.

    Raises:
        InputError: there is no such file, it is of another kind, damaged, or belongs to another network.
    """
    if path.is_dir():
        read = _orbax
    elif path.suffix == ".safetensors":
        read = _safetensors
    else:
        raise InputError(f"The weights {path} cannot be read; allowed: a .safetensors file, or an Orbax folder.")
    try:
        fill_arrays(module, read(path))
    except FileNotFoundError:
        raise InputError(f"There are no weights {path}.") from None
    except Exception as problem:
        # Whatever a reader raises on damage, and what does not fit.
        reason = str(problem).partition("\n")[0].rstrip(".")
        raise InputError(f"The weights {path} cannot be used: {reason}.") from problem


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    import safetensors.numpy

    return safetensors.numpy.load_file(path)


def _orbax(path: Path) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    restored = ocp.PyTreeCheckpointer().restore(path.resolve())
    leaves = jax.tree_util.tree_leaves_with_path(restored)
    return {array_name(found): np.asarray(leaf) for found, leaf in leaves}
