"""Metrics: functions from the observations of a sweep to per-image values, with intervals over images."""

from __future__ import annotations

from collections.abc import Iterable

from cnnshift.catalog import METRICS
from cnnshift.metrics.base import Summary
from cnnshift.observations import Observations


def evaluate(observations: Observations, ids: Iterable[str]) -> dict[str, Summary]:
    """Evaluate metrics on the observations of one sweep.

    Args:
        observations: predictions and distances of one model over images and shifts.
        ids: names in `cnnshift.catalog.METRICS`.

    Returns:
        One summary per name, in the order of the names. A metric that cannot be computed from these observations has
        no value and a reason.

    Raises:
        InputError: a name is not registered.
    """
    return {name: METRICS.load(name).summarize(observations) for name in ids}
