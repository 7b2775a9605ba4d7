"""Read and write observations: one .npz file for all runs of a benchmark, without pickle."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from cnnshift.errors import InputError, SaveError
from cnnshift.files import atomic_file
from cnnshift.observations import Observations


def write_observations(path: Path, name: str, observations: Observations, *, fresh: bool) -> None:
    """Add the observations of one run to a .npz file, which is replaced atomically.

    Args:
        path: the file.
        name: name of the run; a run that is in the file already is not written again.
        observations: each array becomes the member `NAME/FIELD.npy`; absent arrays are omitted.
        fresh: drop the content of the file.

    Raises:
        SaveError: The file cannot be written, or is not a file of observations.
    """
    try:
        with atomic_file(path) as file:
            add = path.exists() and not fresh
            if add:
                with path.open("rb") as old:
                    shutil.copyfileobj(old, file)
            with zipfile.ZipFile(file, "a" if add else "w", zipfile.ZIP_DEFLATED) as archive:
                names = {member.rpartition("/")[0] for member in archive.namelist()}
                for field in fields(observations):
                    array = getattr(observations, field.name)
                    if array is not None and name not in names:
                        with archive.open(f"{name}/{field.name}.npy", "w", force_zip64=True) as member:
                            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    except zipfile.BadZipFile as error:
        raise SaveError(f"Cannot write {path}: {error}.") from None


def load_observations(path: Path) -> dict[str, Observations]:
    """Read the observations of all runs in a file, by name.

    Raises:
        InputError: The file is missing or not a file of observations.
    """
    runs: dict[str, dict[str, np.ndarray]] = {}
    try:
        # np.load would not close a damaged file that it opened itself.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in archive.files:
                name, _, field = key.rpartition("/")
                runs.setdefault(name, {})[field] = archive[key]
        return {name: _to_observations(**arrays) for name, arrays in runs.items()}
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from None
    except Exception as error:  # The parsers raise various errors on damaged files.
        raise InputError(f"{path} is not a file of observations: {error}.") from None


def _to_observations(*, neighbours: Any = None, cosine: Any = None, stride: Any = None, **arrays: Any) -> Observations:
    stride = None if stride is None else int(stride)
    return Observations(neighbours=neighbours, cosine=cosine, stride=stride, **arrays)
