"""Decoded images in the cache, verified by their SHA-256 when they are read."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from cnnshift.cache import cache_dir
from cnnshift.errors import SaveError
from cnnshift.files import atomic_file, write_text

_log = logging.getLogger("cnnshift")

Decoded = tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]
"""Images and labels."""


def read_array(path: Path, sha256: str) -> UInt8[np.ndarray, "n f"] | None:
    """Read a byte matrix from an `.npy` file.

    Args:
        path: the file.
        sha256: hexadecimal digest of the matrix in row-major order.

    Returns:
        The matrix, or None if the file is missing, truncated, not an `.npy` file, or has other content.
    """
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception:  # The header parser raises various errors on a damaged file.
        return None
    return array if has_digest(array, sha256) else None


def has_digest(array: object, sha256: str) -> bool:
    """Return whether an object is a byte matrix with this digest."""
    return isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 2 and _digest(array) == sha256


def write_array(path: Path, array: UInt8[np.ndarray, "n f"]) -> None:
    """Write an `.npy` file atomically.

    Raises:
        SaveError: the file cannot be written.
    """
    with atomic_file(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def read_decoded(name: str, key: dict[str, Any]) -> Decoded | None:
    """Read cached images and labels.

    Args:
        name: name of the data set.
        key: everything that the pixels depend on, as JSON values.

    Returns:
        Images and labels, or None if they are not cached or are damaged.
    """
    folder = _folder(name, key)
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        images = read_array(folder / "images.npy", card["images"])
        labels = read_array(folder / "labels.npy", card["labels"])
        if images is not None and labels is not None and card["key"] == key:
            return images.reshape(card["shape"]), labels.view("<i4")[:, 0].astype(np.int32)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    _log.warning("%s is damaged and will be replaced.", folder)
    return None


def write_decoded(name: str, key: dict[str, Any], decoded: Decoded) -> None:
    """Cache images and labels; log a warning if they cannot be written."""
    folder = _folder(name, key)
    images, labels = decoded
    arrays = {
        "images": images.reshape(len(images), -1),
        "labels": np.ascontiguousarray(labels, "<i4").view(np.uint8).reshape(-1, 4),
    }
    digests = {part: _digest(array) for part, array in arrays.items()}
    try:
        for part, array in arrays.items():
            write_array(folder / f"{part}.npy", array)
        # Written last: an incomplete entry has no card and is not read.
        write_text(folder / "card.json", json.dumps({"key": key, "shape": images.shape, **digests}))
    except SaveError as error:
        _log.warning("The decoded images of '%s' were not cached (%s).", name, error)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _folder(name: str, key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    readable = re.sub(r"[^\w.]+", "-", str(key.get("split", "")))
    return cache_dir("data", "decoded", name, f"{readable}-{digest}")
