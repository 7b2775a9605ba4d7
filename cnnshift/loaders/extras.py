"""Import packages that an extra of cnnshift installs."""

from __future__ import annotations

import importlib
from typing import Any

from cnnshift.errors import InputError


def import_extra(package: str, extra: str) -> Any:
    """Import a package that only some models need.

    Args:
        package: name of the package.
        extra: name of the extra of cnnshift that installs it.

    Raises:
        InputError: The package is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"The package {package} is not installed; install it with: pip install 'cnnshift[{extra}]'."
        ) from None
