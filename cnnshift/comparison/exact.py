"""Exact comparison: the same weights must give the same prediction for every image at every shift."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnshift.comparison.matching import MatchedRuns
from cnnshift.comparison.records import ChangedPrediction
from cnnshift.results.packing import unpack
from cnnshift.results.schema import Run


def changed_predictions(matched: MatchedRuns) -> Iterator[ChangedPrediction]:
    """Yield one record per image whose prediction changed at any shift, in the order of the images.

    Raises:
        ValueError: Seeds or weights differ, or a run has no predictions.
    """
    base, candidate = ({run.seed: run for run in runs} for runs in (matched.base, matched.runs))
    if base.keys() != candidate.keys():
        raise ValueError(f"the seeds differ: {sorted(base)} → {sorted(candidate)}")
    for seed, run in base.items():
        yield from _changed(run, candidate[seed])


def _changed(base: Run, candidate: Run) -> Iterator[ChangedPrediction]:
    if base.predictions is None or candidate.predictions is None:
        raise ValueError("a run has no predictions (its file has version 1, or there were too many)")
    if base.weights_digest != candidate.weights_digest:
        raise ValueError(f"the weights of seed {base.seed} differ")
    before, after = unpack(base.predictions), unpack(candidate.predictions)
    # If every image has its own random shifts, by_shift is empty.
    shifts = [(0, 0), *zip(base.by_shift.dy, base.by_shift.dx, strict=True)]
    for image in np.flatnonzero((before != after).any(axis=1)):
        columns = np.flatnonzero(before[image] != after[image])
        first = int(columns[0])
        yield ChangedPrediction(
            model=base.model,
            seed=base.seed,
            protocol=base.protocol.label,
            image=int(image),
            shifts=len(columns),
            shift=shifts[first] if first < len(shifts) else None,
            baseline_class=int(before[image, first]),
            candidate_class=int(after[image, first]),
        )
