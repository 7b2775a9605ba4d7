"""The strictest gate: the same weights must give every prediction they gave before, at every shift."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnshift.comparison.matching import Pair
from cnnshift.comparison.records import Change
from cnnshift.results.packing import unpack
from cnnshift.results.schema import Run


def changed_predictions(pair: Pair) -> Iterator[Change]:
    """One record per image whose prediction changed at some shift, in the order of the images.

    Raises:
        ValueError: the two sides have other seeds or other weights, or one of them holds no predictions; the message
            is the reason why they cannot be compared exactly.
    """
    before, after = ({run.seed: run for run in runs} for runs in (pair.base, pair.candidate))
    if before.keys() != after.keys():
        raise ValueError(f"exactly: seeds {sorted(before)} against {sorted(after)}")
    for seed, run in before.items():
        yield from _changed(run, after[seed])


def _changed(base: Run, candidate: Run) -> Iterator[Change]:
    if base.predictions is None or candidate.predictions is None:
        raise ValueError("exactly: a run holds no predictions (a file of version 1, or very many of them)")
    if base.weights_digest != candidate.weights_digest:
        raise ValueError(f"exactly: the weights are not the same (seed {base.seed})")
    before, after = unpack(base.predictions), unpack(candidate.predictions)
    for image in np.flatnonzero((before != after).any(axis=1)):
        columns = np.flatnonzero(before[image] != after[image])
        first = int(columns[0])
        yield Change(
            model=base.model,
            seed=base.seed,
            protocol=base.protocol.label,
            image=int(image),
            shifts=len(columns),
            shift=_shift(base, first),
            before=int(before[image, first]),
            after=int(after[image, first]),
        )


def _shift(run: Run, column: int) -> tuple[float | int, float | int] | None:
    """(dy, dx) of a column of the predictions; None where every image has shifts of its own."""
    if column == 0:
        return 0, 0
    table = run.by_shift
    return (table.dy[column - 1], table.dx[column - 1]) if len(table.dy) >= column <= len(table.dx) else None
