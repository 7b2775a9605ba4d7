"""Classes that a directory of tensorflow-datasets names: reading it imports them, so that data could run code."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from cnnshift.errors import InputError

_KEYS = ("pythonClassName", "python_class_name", "type")  # the last one in old directories


def check_feature_classes(path: Path, known: Collection[str]) -> None:
    """Refuse a file that names other classes than are there already; one that is missing names none.

    Args:
        path: of a JSON file that describes features.
        known: full names of the classes that are there.

    Raises:
        InputError: it names another one.
        ValueError: it is no JSON.
    """
    if not path.is_file():
        return
    for name in _class_names(json.loads(path.read_text(encoding="utf-8"))):
        # Without a dot there is nothing to import.
        if "." in name and name not in known:
            raise InputError(
                f"{path} names the class '{name}', which is never imported; allowed: the features of "
                f"tensorflow-datasets, as tensorflow_datasets.core.features.image_feature.Image."
            )


def _class_names(value: Any) -> Iterator[str]:
    """The names of classes in JSON, and in JSON that is a string in it."""
    if isinstance(value, dict):
        yield from (name for key, name in value.items() if key in _KEYS and isinstance(name, str))
        value = list(value.values())
    elif isinstance(value, str):
        try:
            value = [json.loads(value)]
        except ValueError:
            return
    if isinstance(value, list):
        for part in value:
            yield from _class_names(part)
