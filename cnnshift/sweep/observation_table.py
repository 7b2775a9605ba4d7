"""A table that collects the results of a sweep's calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnshift.errors import NotFiniteError
from cnnshift.observations import Observations
from cnnshift.sweep.program import BlockResult, Reference
from cnnshift.sweep.sweep_inputs import SweepInputs
from cnnshift.unavailable import Unavailable


class ObservationTable:
    """Results of a sweep, entered in any order.

    Attributes:
        finished: number of image-shifts entered.
    """

    def __init__(self, inputs: SweepInputs) -> None:
        self._split, self._set = inputs.split, inputs.shift_set
        self._stride = inputs.model.total_stride(inputs.split)
        self._arrays: dict[str, np.ndarray] = {}
        self.finished = 0

    def _array(self, name: str, shape: tuple[int, ...], like: Any, dtype: Any = None) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = np.zeros(shape, dtype or like.dtype)
        return self._arrays[name]

    def put_reference(self, start: int, reference: Reference) -> None:
        """Enter the results of unshifted images from index `start`."""
        n = min(len(reference.prediction), len(self._split) - start)
        rows = slice(start, start + n)
        for name in ("prediction", "probability", "label_probability", "logits"):
            values = np.asarray(getattr(reference, name))
            self._array(f"reference_{name}", (len(self._split), *values.shape[1:]), values)[rows] = values[:n]

    def put(self, start: int, first: int, block: BlockResult) -> int:
        """Enter a block of images from `start` and shifts from `first`; return its number of image-shifts."""
        n = min(block.sums.change.shape[0], len(self._split) - start)
        s = min(block.shift_change.shape[0], self._set.count - first)
        rows, columns = slice(start, start + n), slice(first, first + s)
        total, count, classes = len(self._split), self._set.count, block.sums.change.shape[1]
        for name, values in block.observation._asdict().items():
            if values is not None:
                self._array(name, (total, count), values)[rows, columns] = np.asarray(values)[:s, :n].T
        for name, sums in block.sums._asdict().items():
            self._array(name, (total, classes), sums, np.float64)[rows] += np.asarray(sums)[:n]
        shift_change = np.asarray(block.shift_change)
        self._array("shift_change", (count, classes), shift_change, np.float64)[columns] += shift_change[:s]
        self.finished += n * s
        return n * s

    def observations(self) -> Observations:
        """Return the complete table.

        Raises:
            NotFiniteError: A logit is not finite.
        """
        a = self._arrays
        if not (np.isfinite(a["reference_logits"]).all() and np.isfinite(a["distance"]).all()):
            raise NotFiniteError("The model returned logits that are not finite numbers.")
        return Observations(
            shifts=self._set.shifts,
            neighbours=self._set.neighbours,
            labels=self._split.labels,
            reference_prediction=a["reference_prediction"],
            reference_probability=a["reference_probability"],
            reference_label_probability=a["reference_label_probability"],
            reference_logits=a["reference_logits"],
            prediction=a["prediction"],
            probability=a["probability"],
            label_probability=a["label_probability"],
            distance=a["distance"],
            cosine=a.get("cosine"),
            logit_change=a["change"] / self._set.count,
            logit_square_change=a["square"] / self._set.count,
            shift_logit_change=a["shift_change"] / len(self._split),
            stride=None if isinstance(self._stride, Unavailable) else self._stride,
        )
