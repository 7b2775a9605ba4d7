"""Decoded images in the cache: reading them takes milliseconds, decoding them many seconds."""

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
from cnnshift.files import atomic_file

_log = logging.getLogger("cnnshift")

Decoded = tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]
"""Images and labels."""


def cache_path(name: str, key: dict[str, Any]) -> Path:
    """Return the path of cached images of a data set; `key` has all that they depend on, as JSON values."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    readable = re.sub(r"[^\w.]+", "-", str(key.get("split", "")))
    return cache_dir("data", "decoded", name) / f"{readable}-{digest}.npz"


def read_images(path: Path) -> Decoded | None:
    """Read images and labels; None if the file is missing or damaged, which its checksums (CRC-32) reveal."""
    try:
        # np.load would not close a damaged file that it opened itself.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
        if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int32 or labels.shape != images.shape[:1]:
            raise ValueError("the arrays are not images with labels")
        return images, labels
    except FileNotFoundError:
        return None
    except Exception:  # The parsers raise various errors on damaged files.
        warn_damaged(path)
        return None


def write_images(path: Path, decoded: Decoded) -> None:
    """Write images and labels atomically; log a warning if that fails."""
    images, labels = decoded
    try:
        with atomic_file(path) as file:
            np.savez(file, images=images, labels=labels)
    except SaveError as error:
        _log.warning("The decoded images were not cached. %s", error)


def warn_damaged(path: Path) -> None:
    """Log a warning that a file or directory of the cache is damaged and will be replaced."""
    _log.warning("%s is damaged and will be replaced.", path)
