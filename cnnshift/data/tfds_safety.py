"""Check the class names in a data set's files: tensorflow-datasets imports these classes, which can run any code."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from cnnshift.errors import InputError

_KEYS = ("pythonClassName", "python_class_name", "type")  # `type` in directories of old versions


def check_feature_classes(path: Path, known: Collection[str]) -> None:
    """Check that a JSON file that describes features, if it exists, names imported classes only.

    `known` are their fully qualified names.

    Raises:
        InputError: the file names another class.
        ValueError: the file is not JSON.
    """
    if not path.is_file():
        return
    for name in _class_names(json.loads(path.read_text(encoding="utf-8"))):
        # A name without a dot has no module to import.
        if "." in name and name not in known:
            raise InputError(
                f"{path} names the class '{name}', which is never imported; allowed: the features of "
                f"tensorflow-datasets, such as tensorflow_datasets.core.features.image_feature.Image."
            )


def _class_names(value: Any) -> Iterator[str]:
    """Yield class names in JSON data, including JSON nested in strings."""
    if isinstance(value, dict):
        yield from (name for key, name in value.items() if key in _KEYS and isinstance(name, str))
        value = list(value.values())
    elif isinstance(value, str):
        try:
            value = [json.loads(value)]
        except ValueError:
            return
    if isinstance(value, list):
        for item in value:
            yield from _class_names(item)
