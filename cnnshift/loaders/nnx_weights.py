"""Read the weights of a Flax NNX module from safetensors or an Orbax checkpoint."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from flax import nnx

from cnnshift.errors import InputError
from cnnshift.models.arrays import array_name, fill_arrays


def read_nnx_weights(module: nnx.Module, path: Path) -> None:
    """Fill a module with the weights of a .safetensors file or of the directory of an Orbax checkpoint.

    The name of an array consists of the names of its attributes, as in `blocks.0.kernel`. The file must contain all
    parameters and running statistics of the module, and nothing else; states of random number generators are ignored.

    Raises:
        InputError: The file is missing, damaged, has another format, or belongs to another model.
    """
    if path.is_dir():
        read = _read_orbax
    elif path.suffix == ".safetensors":
        read = _read_safetensors
    else:
        raise InputError(f"weights is '{path}'; allowed: *.safetensors, or the directory of an Orbax checkpoint.")
    try:
        fill_arrays(module, read(path))
    except FileNotFoundError:
        raise InputError(f"weights is '{path}', which does not exist.") from None
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"The weights {path} cannot be used: {reason}.") from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    import safetensors.numpy

    return safetensors.numpy.load_file(path)


def _read_orbax(path: Path) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    restored = ocp.PyTreeCheckpointer().restore(path.resolve())
    leaves = jax.tree_util.tree_leaves_with_path(restored)
    return {array_name(keys): np.asarray(leaf) for keys, leaf in leaves}
