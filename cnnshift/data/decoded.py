"""Decoded images in the cache: reading them back takes milliseconds, decoding them many seconds."""

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
from cnnshift.data.array_file import read_array, write_array
from cnnshift.errors import SaveError
from cnnshift.files import write_text

_log = logging.getLogger("cnnshift")

Decoded = tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]


def read_decoded(name: str, key: dict[str, Any]) -> Decoded | None:
    """Images and labels that were kept under a key; nothing if they were not, or are damaged.

    Args:
        name: of the data set.
        key: all that the pixels depend on.
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
    _log.warning("%s is damaged; it is made again.", folder)
    return None


def write_decoded(name: str, key: dict[str, Any], decoded: Decoded) -> None:
    """Keep images and labels under a key; a disk that is full is no reason to stop."""
    folder = _folder(name, key)
    images, labels = decoded
    arrays = {
        "images": images.reshape(len(images), -1),
        "labels": np.ascontiguousarray(labels, "<i4").view(np.uint8).reshape(-1, 4),
    }
    digests = {part: hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for part, array in arrays.items()}
    try:
        for part, array in arrays.items():
            write_array(folder / f"{part}.npy", array)
        # Last: without it, nothing is read.
        write_text(folder / "card.json", json.dumps({"key": key, "shape": images.shape, **digests}))
    except (OSError, SaveError) as error:
        _log.warning("The decoded images of '%s' are not kept (%s).", name, error)


def _folder(name: str, key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    readable = re.sub(r"[^\w.]+", "-", str(key.get("split", "")))
    return cache_dir("data", "decoded", name, f"{readable}-{digest}")
