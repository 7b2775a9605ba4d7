"""Metrics: what the observations of a sweep say about a model, one family of metrics per file."""

from __future__ import annotations

from collections.abc import Iterable

from cnnshift.catalog import METRICS
from cnnshift.metrics.base import Summary
from cnnshift.observations import Observations


def evaluate(observations: Observations, ids: Iterable[str]) -> dict[str, Summary]:
    """Evaluate the named metrics on one sweep, in the order of the names.

    Args:
        observations: what the sweep saw.
        ids: names out of `cnnshift.catalog.METRICS`.

    Returns:
        One summary per name; a metric that these observations cannot supply has no value, and a
        reason.

    Raises:
        InputError: a name that is not registered.
    """
    return {name: METRICS.load(name).summarize(observations) for name in ids}
