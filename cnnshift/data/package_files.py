"""Data files of other packages, found without importing the package or its dependencies."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cnnshift.errors import InputError

EXTRA = "'cnnshift[pretrained]'"


def package_file(package: str, *parts: str, needed_by: str, install: str = EXTRA) -> Path:
    """Return the path of a file or directory of an installed package.

    `needed_by` is the subject of the error message, as `The data set 'NAME'`; `install` is the argument with which
    `pip install` installs the package.

    Raises:
        InputError: the package is not installed or does not contain the file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{needed_by} needs the package {package.replace('_', '-')}: pip install {install}")
    path = Path(spec.submodule_search_locations[0], *parts)
    if not path.exists():
        raise damaged_file(path, install)
    return path


def damaged_file(path: Path, install: str = EXTRA) -> InputError:
    """Return the error for a package file that is missing or does not have the expected content."""
    # Reinstalling without dependencies keeps other packages, but would skip the packages of an extra.
    options = "--force-reinstall" if "[" in install else "--force-reinstall --no-deps"
    return InputError(
        f"{path} is missing, damaged or of another version; install it again: pip install {options} {install}"
    )
