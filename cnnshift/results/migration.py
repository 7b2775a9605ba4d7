"""Migration of result files from older schema versions: one function per step."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cnnshift.catalog import LOADERS

_WRAPPERS = ("stn", "orbit", "ti_pool")
_WRAPPING_PROTOCOLS = ("circular", "fourier", "bilinear")


def migrate(document: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Convert a document of an older schema version to the current version.

    Args:
        document: the parsed JSON; it may be invalid, because validation follows the migration.
        version: its schema version, from 1 to the current one.
    """
    migrated = dict(document)
    while version in STEPS:
        migrated = STEPS[version](migrated)
        version += 1
        migrated["schema_version"] = version
    return migrated


def _add_predictions(document: dict[str, Any]) -> dict[str, Any]:
    """1 → 2: add `predictions`, `engine` and `family_version` of every run, null in older files."""
    added = {"predictions": None, "engine": None, "family_version": None}
    return document | _update_runs(document, lambda run: added | run)


def _allow_fractions(document: dict[str, Any]) -> dict[str, Any]:
    """2 → 3: allow fractional shifts; shifts by whole pixels are written as before."""
    return document


def _rename_keys(document: dict[str, Any]) -> dict[str, Any]:
    """3 → 4: rename `engine.forwards` and two options of model specs; add `protocol.wraps`."""
    config = document.get("config")
    if isinstance(config, dict) and isinstance(models := config.get("models"), list):
        document = document | {"config": config | {"models": [_rename_options(model) for model in models]}}
    return document | _update_runs(document, _rename_keys_of_run)


def _rename_keys_of_run(run: dict[str, Any]) -> dict[str, Any]:
    run = dict(run)
    name = str(run.get("model")).partition(":")[0]
    if "model" in run:
        run["model"] = _rename_options(run["model"])
    if isinstance(run.get("options"), dict):
        run["options"] = _rename(run["options"], _renamed_options(name))
    if isinstance(run.get("engine"), dict):
        run["engine"] = _rename(run["engine"], {"forwards": "forward_passes"})
    if isinstance(protocol := run.get("protocol"), dict):
        run["protocol"] = {"wraps": protocol.get("name") in _WRAPPING_PROTOCOLS} | protocol
    if (
        isinstance(training := run.get("training"), dict)
        and isinstance(recipe := training.get("recipe"), dict)
        and isinstance(preprocess := recipe.get("preprocess"), dict)
    ):
        preprocess = _rename(preprocess, {"order": "channel_order"})
        run["training"] = training | {"recipe": recipe | {"preprocess": preprocess}}
    return run


def _rename_options(spec: Any) -> Any:
    """Rename the options in the text of a model spec."""
    if isinstance(spec, str):
        for old, new in _renamed_options(spec.partition(":")[0]).items():
            spec = re.sub(rf"(?<=[:,]){old}=", f"{new}=", spec)
    return spec


def _renamed_options(name: str) -> Mapping[str, str]:
    return {"around": "backbone"} if name in _WRAPPERS else {"order": "channel_order"} if name in LOADERS else {}


def _rename(mapping: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in mapping.items()}


def _update_runs(document: Mapping[str, Any], update: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    runs = document.get("runs")
    if not isinstance(runs, list):
        return {}
    return {"runs": [update(run) if isinstance(run, dict) else run for run in runs]}


STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _add_predictions,
    2: _allow_fractions,
    3: _rename_keys,
}
"""The function that converts each older version to the next one."""
