"""How files of older versions become files of the present one: one function per step, none ever removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def migrate(document: Mapping[str, Any], version: int) -> dict[str, Any]:
    """A document of an older version as one of the present version.

    Args:
        document: what was read; it need not be valid, which is found out afterwards.
        version: that it says it has, from 1 to the present one.
    """
    migrated = dict(document)
    while version in STEPS:
        migrated = STEPS[version](migrated)
        version += 1
        migrated["schema_version"] = version
    return migrated


def _predictions_and_family_version(document: dict[str, Any]) -> dict[str, Any]:
    """1 → 2: a run also holds its predictions, its engine and the version of its family's code, unknown before."""
    runs = document.get("runs")
    if isinstance(runs, list):
        added = {"predictions": None, "engine": None, "family_version": None}
        document["runs"] = [added | run if isinstance(run, dict) else run for run in runs]
    return document


def _fractions(document: dict[str, Any]) -> dict[str, Any]:
    """2 → 3: shifts may be fractions of a pixel; whole pixels are written as before."""
    return document


STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _predictions_and_family_version, 2: _fractions}
"""From each older version to the next."""
