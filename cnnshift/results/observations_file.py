"""Observations on disk: one .npz for all cells of a benchmark, readable without the model and without pickle."""

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
    """Add a cell's observations to a file; the file is replaced in one step.

    Args:
        path: the .npz file.
        name: of the cell; a cell that is in the file already is left as it is.
        observations: its arrays become members `NAME/FIELD.npy`; absent ones are left out.
        fresh: start a new file instead of adding to the one that is there.

    Raises:
        SaveError: the file cannot be written.
    """
    try:
        with atomic_file(path) as file:
            add = path.exists() and not fresh
            if add:
                with path.open("rb") as old:
                    shutil.copyfileobj(old, file)
            with zipfile.ZipFile(file, "a" if add else "w", zipfile.ZIP_DEFLATED) as archive:
                there = {member.rpartition("/")[0] for member in archive.namelist()}
                for field in fields(observations):
                    array = getattr(observations, field.name)
                    if array is not None and name not in there:
                        with archive.open(f"{name}/{field.name}.npy", "w", force_zip64=True) as member:
                            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    except zipfile.BadZipFile as error:
        raise SaveError(f"Cannot write {path}: {error}.") from None


def load_observations(path: Path) -> dict[str, Observations]:
    """All cells of a file, by name.

    Raises:
        InputError: no such file, or not a file of observations.
    """
    cells: dict[str, dict[str, np.ndarray]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                name, _, field = key.rpartition("/")
                cells.setdefault(name, {})[field] = file[key]
        return {name: _observations(arrays) for name, arrays in cells.items()}
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from None
    except (ValueError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a file of observations: {error}.") from None


def _observations(arrays: dict[str, np.ndarray]) -> Observations:
    stride = arrays.pop("stride", None)
    optional: dict[str, Any] = {"neighbours": None, "cosine": None}
    return Observations(**(optional | arrays), stride=None if stride is None else int(stride))
