"""Files that other packages ship: found without importing the package, which may need much that is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cnnshift.errors import InputError

EXTRA = "pretrained"


def package_file(package: str, *parts: str, needed_by: str) -> Path:
    """The path of a file, or a folder, that an installed package ships.

    Args:
        package: its name as it is imported.
        parts: of the path inside it.
        needed_by: whose message it is, as `The data set 'NAME'`.

    Raises:
        InputError: the package is not installed, or does not ship that file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"{needed_by} needs the package {package.replace('_', '-')}; install it: pip install 'cnnshift[{EXTRA}]'"
        )
    path = Path(spec.submodule_search_locations[0], *parts)
    if not path.exists():
        raise damaged(path)
    return path


def damaged(path: Path) -> InputError:
    """The error for a file that is not the one that was shipped."""
    return InputError(
        f"{path} is missing, damaged or of another version; "
        f"install it again: pip install --force-reinstall 'cnnshift[{EXTRA}]'"
    )
