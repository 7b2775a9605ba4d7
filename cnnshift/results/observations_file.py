"""Observations on disk: one .npz for all cells of a benchmark, readable without the model and without pickle."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from cnnshift.errors import InputError, SaveError
from cnnshift.observations import Observations


def append_observations(path: Path, name: str, observations: Observations) -> None:
    """Add a cell's observations to a file, made if it is missing; the file is replaced in one step.

    Args:
        path: the .npz file.
        name: of the cell, unique in the file.
        observations: its arrays become members `NAME/FIELD.npy`; absent ones are left out.

    Raises:
        SaveError: the file cannot be written.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        if path.exists():
            shutil.copyfile(path, temporary)
        with zipfile.ZipFile(temporary, "a" if path.exists() else "w", zipfile.ZIP_DEFLATED) as archive:
            for field in fields(observations):
                array = getattr(observations, field.name)
                if array is not None:
                    with archive.open(f"{name}/{field.name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise SaveError(f"Cannot write {path}: {error.strerror or error}.") from None


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
        optional = {"neighbours": None, "cosine": None}
        return {name: Observations(**{**optional, **arrays}) for name, arrays in cells.items()}
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from None
    except (ValueError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a file of observations: {error}.") from None
