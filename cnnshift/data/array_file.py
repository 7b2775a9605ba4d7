"""Arrays on disk that are worth nothing if a single byte of them is wrong."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

import numpy as np
from jaxtyping import UInt8


def read_array(path: Path, sha256: str) -> UInt8[np.ndarray, "n f"] | None:
    """Read a matrix of bytes that is known by its digest.

    Args:
        path: of an `.npy` file.
        sha256: hexadecimal digest of the matrix's content, row by row.

    Returns:
        The matrix, or nothing if the file is missing, truncated, not an `.npy` file, or has other content.
    """
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception:  # a damaged header surfaces as whatever the parser of that part raises
        return None
    return array if is_intact(array, sha256) else None


def is_intact(array: object, sha256: str) -> bool:
    """Whether something is a matrix of bytes with this digest."""
    if not (isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 2):
        return False
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() == sha256


def write_array(path: Path, array: UInt8[np.ndarray, "n f"]) -> None:
    """Write an `.npy` file at once: a reader sees the old file or the new one, never a part.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    # Not tempfile: its files are private to one user, and a cache may be shared.
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
