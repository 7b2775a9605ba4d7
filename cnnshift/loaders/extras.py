"""Packages that only some networks need, and that an extra of cnnshift installs."""

from __future__ import annotations

import importlib
from typing import Any

from cnnshift.errors import InputError


def optional(package: str, extra: str) -> Any:
    """Import a package.

    Args:
        package: its name.
        extra: of cnnshift, which installs it.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"The package {package} is not installed; it comes with: pip install 'cnnshift[{extra}]'."
        ) from None
