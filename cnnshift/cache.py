"""The cache directory: prepared data sets, trained weights, compiled programs and the last result."""

import os
from pathlib import Path

import platformdirs

from cnnshift.errors import MeasurementError

VARIABLE = "CNNSHIFT_CACHE_DIR"


def cache_dir(*names: str) -> Path:
    """Return a directory of the cache, which is created if it is missing.

    The cache is `$CNNSHIFT_CACHE_DIR`, or the user cache directory of the platform. It may be deleted at any time.

    Raises:
        MeasurementError: the directory cannot be created.
    """
    root = os.environ.get(VARIABLE)
    directory = Path(root).expanduser() if root else Path(platformdirs.user_cache_dir("cnnshift", appauthor=False))
    directory = directory.joinpath(*names)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MeasurementError(
            f"Cannot use the cache directory {directory}: {error.strerror}; set {VARIABLE} to a writable directory."
        ) from None
    return directory
