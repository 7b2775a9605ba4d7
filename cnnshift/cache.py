"""Where things are kept that can always be made again: prepared data, weights, compiled programs, the last result."""

import os
from pathlib import Path

import platformdirs

from cnnshift.errors import MeasurementError

VARIABLE = "CNNSHIFT_CACHE_DIR"


def cache_dir(*parts: str) -> Path:
    """A folder of the cache, made if it is missing.

    The cache is `$CNNSHIFT_CACHE_DIR`, or the platform's folder for user caches. Deleting it is always safe.

    Raises:
        MeasurementError: the folder cannot be made.
    """
    root = os.environ.get(VARIABLE)
    folder = Path(root).expanduser() if root else Path(platformdirs.user_cache_dir("cnnshift", appauthor=False))
    folder = folder.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MeasurementError(
            f"Cannot use the cache folder {folder}: {error.strerror}; set {VARIABLE} to a folder that can be written."
        ) from None
    return folder
