"""Migration of result files from older schema versions: one function per step."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cnnshift.catalog import LOADERS
from cnnshift.results.schema import SCHEMA_VERSION

_WRAPPERS = ("stn", "orbit", "ti_pool")
_WRAPPING_PROTOCOLS = ("circular", "fourier", "bilinear")


def migrate(document: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Convert a document of an older schema version to the current version.

    Args:
        document: the parsed JSON; it may be invalid, because validation follows the migration.
        version: its schema version, from 1 to the current one.
    """
    migrated = dict(document)
    for step in range(version, SCHEMA_VERSION):
        migrated = STEPS[step](migrated)
    return migrated | {"schema_version": SCHEMA_VERSION}


def _add_predictions(document: dict[str, Any]) -> dict[str, Any]:
    """1 → 2: add `predictions`, `engine` and `family_version` of every run, null in older files."""
    added = {"predictions": None, "engine": None, "family_version": None}
    return _update_runs(document, lambda run: added | run)


def _allow_fractions(document: dict[str, Any]) -> dict[str, Any]:
    """2 → 3: allow fractional shifts; shifts by whole pixels are written as before."""
    return document


def _rename_keys(document: dict[str, Any]) -> dict[str, Any]:
    """3 → 4: rename `engine.forwards` and two options of model specs; add `protocol.wraps`."""
    config = document.get("config")
    if isinstance(config, dict) and isinstance(models := config.get("models"), list):
        document = document | {"config": config | {"models": [_rename_options(model) for model in models]}}
    return _update_runs(document, _rename_keys_of_run)


def _rename_keys_of_run(run: dict[str, Any]) -> dict[str, Any]:
    run = dict(run)
    if isinstance(options := run.get("options"), dict):
        run["options"] = _rename(options, _renamed_options(run.get("model")))
    if isinstance(model := run.get("model"), str):
        run["model"] = _rename_options(model)
    if isinstance(engine := run.get("engine"), dict):
        run["engine"] = _rename(engine, {"forwards": "forward_passes"})
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
        for old, new in _renamed_options(spec).items():
            spec = re.sub(rf"(?<=[:,]){old}=", f"{new}=", spec)
    return spec


def _renamed_options(spec: Any) -> Mapping[str, str]:
    name = str(spec).partition(":")[0]
    return {"around": "backbone"} if name in _WRAPPERS else {"order": "channel_order"} if name in LOADERS else {}


def _rename(mapping: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in mapping.items()}


def _update_runs(document: dict[str, Any], update: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(runs := document.get("runs"), list):
        return document
    return document | {"runs": [update(run) if isinstance(run, dict) else run for run in runs]}


STEPS = {1: _add_predictions, 2: _allow_fractions, 3: _rename_keys}
"""The function that converts each older version to the next one."""
