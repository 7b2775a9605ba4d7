"""Runs the compiled programs over all images and shifts: batches, blocks, memory, and the table they fill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from cnnshift.data.base import Split
from cnnshift.errors import MeasurementError
from cnnshift.observations import Observations
from cnnshift.shifts.base import Protocol
from cnnshift.shifts.sets import ShiftSet
from cnnshift.sweep.program import Block, Reference, block_program, reference_program
from cnnshift.sweep.subject import Subject

Progress = Callable[[int], None]

BLOCK_SHIFTS = 64
"""Most shifts in one call of the block program: the grain of progress and of an interruption."""

CPU_BATCH, ACCELERATOR_BATCH = 128, 1024
MAX_WIDTH = 64


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished sweep.

    Attributes:
        observations: what the model said.
        compile_seconds, sweep_seconds: wall-clock time.
        batch_size: images per compiled step, after any halving.
        width: shifts evaluated at once.
        flops: of one forward pass of one image as the compiler counts them, None where it does not.
    """

    observations: Observations
    compile_seconds: float
    sweep_seconds: float
    batch_size: int
    width: int
    flops: float | None


def run_sweep(
    subject: Subject,
    split: Split,
    protocol: Protocol,
    shift_set: ShiftSet,
    *,
    batch_size: int | None = None,
    width: int | None = None,
    progress: Progress = lambda done: None,
) -> Sweep:
    """Evaluate a model at every shift of every image.

    Args:
        subject: the model.
        split: n images.
        protocol: how they move; its reach covers the shifts.
        shift_set: s shifts, or s per image.
        batch_size: images per compiled step. By default 128 on CPU, 1,024 elsewhere; either way it is evened out over
            the batches, and halved when the device's memory does not suffice.
        width: shifts evaluated at once. By default 1 on CPU, where more was measured to be slower, and measured on
            other backends.
        progress: called with the number of image-shifts just finished.

    Raises:
        MeasurementError: the model gave values that are not finite, or one image does not fit into memory.
    """
    limit = min(batch_size or _default_batch(), len(split))
    while True:
        batch = math.ceil(len(split) / math.ceil(len(split) / limit))
        table = _Table(split, shift_set)
        try:
            return _sweep(subject, split, protocol, shift_set, table, batch, width, progress)
        except jax.errors.JaxRuntimeError as error:
            if not _out_of_memory(error):
                raise
            if batch == 1:
                raise MeasurementError("One image does not fit into the device's memory.") from error
            progress(-table.finished)
            limit = batch // 2


def _sweep(
    subject: Subject,
    split: Split,
    protocol: Protocol,
    shift_set: ShiftSet,
    table: _Table,
    batch: int,
    width: int | None,
    progress: Progress,
) -> Sweep:
    started = time.perf_counter()
    per_image = shift_set.shifts.ndim == 3
    sources, labels = _batch(split, 0, batch)
    reference, flops = _compile_reference(subject, protocol, sources, labels)

    def compiled(width: int) -> tuple[Callable[..., Block], int]:
        size = _block_size(shift_set.count, width)
        program = block_program(subject.apply, protocol, width=width, per_image=per_image)
        seen = reference(subject.state, sources, labels)
        shifts, mask = _block(shift_set, 0, size, 0, batch)
        arguments = (subject.state, sources, labels, seen, np.ones(batch, np.float32), shifts, mask)
        return program.lower(*arguments).compile(), size

    if width is None:
        width = (
            1
            if jax.default_backend() == "cpu"
            else _fastest_width(compiled, subject, reference, split, shift_set, batch)
        )
    block, size = compiled(width)
    compile_seconds = time.perf_counter() - started
    # One call stays in flight while the results of the one before are copied: the device never waits for the host.
    pending: tuple[Any, ...] | None = None
    for start in range(0, len(split), batch):
        sources, labels = _batch(split, start, batch)
        images_mask = (np.arange(start, start + batch) < len(split)).astype(np.float32)
        seen = reference(subject.state, sources, labels)
        table.put_reference(start, seen)
        for first in range(0, shift_set.count, size):
            shifts, mask = _block(shift_set, first, size, start, batch)
            done = block(subject.state, sources, labels, seen, images_mask, shifts, mask)
            if pending:
                progress(table.put(*pending))
            pending = (start, first, done)
    if pending:
        progress(table.put(*pending))
    observations = table.observations()
    seconds = time.perf_counter() - started - compile_seconds
    return Sweep(observations, compile_seconds, seconds, batch, width, flops)


class _Table:
    """The observations while they are being filled."""

    def __init__(self, split: Split, shift_set: ShiftSet) -> None:
        self._split, self._set = split, shift_set
        self._arrays: dict[str, np.ndarray] = {}
        self.finished = 0

    def _array(self, name: str, shape: tuple[int, ...], like: Any, dtype: Any = None) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = np.zeros(shape, dtype or like.dtype)
        return self._arrays[name]

    def put_reference(self, start: int, seen: Reference) -> None:
        n = min(len(seen.prediction), len(self._split) - start)
        rows = slice(start, start + n)
        for name in ("prediction", "probability", "label_probability", "logits"):
            values = np.asarray(getattr(seen, name))
            self._array(f"reference_{name}", (len(self._split), *values.shape[1:]), values)[rows] = values[:n]

    def put(self, start: int, first: int, block: Block) -> int:
        """Enter a block; returns the number of image-shifts that it holds."""
        n = min(block.sums.change.shape[0], len(self._split) - start)
        s = min(block.shift_change.shape[0], self._set.count - first)
        rows, columns = slice(start, start + n), slice(first, first + s)
        total, count, classes = len(self._split), self._set.count, block.sums.change.shape[1]
        for name, values in block.seen._asdict().items():
            if values is not None:
                values = np.asarray(values)
                self._array(name, (total, count), values)[rows, columns] = values[:s, :n].T
        for name, values in block.sums._asdict().items():
            self._array(name, (total, classes), values, np.float64)[rows] += np.asarray(values)[:n]
        shift_change = np.asarray(block.shift_change)
        self._array("shift_change", (count, classes), shift_change, np.float64)[columns] += shift_change[:s]
        self.finished += n * s
        return n * s

    def observations(self) -> Observations:
        a = self._arrays
        if not (np.isfinite(a["reference_logits"]).all() and np.isfinite(a["distance"]).all()):
            raise MeasurementError("The model gave logits that are not finite numbers; nothing was measured.")
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
        )


def _compile_reference(
    subject: Subject, protocol: Protocol, sources: np.ndarray, labels: np.ndarray
) -> tuple[Callable[..., Reference], float | None]:
    lowered = reference_program(subject.apply, protocol).lower(subject.state, sources, labels)
    cost = lowered.cost_analysis() or {}
    flops = cost.get("flops")
    return lowered.compile(), None if flops is None else flops / len(sources)


def _fastest_width(
    compiled: Callable[[int], tuple[Callable[..., Block], int]],
    subject: Subject,
    reference: Callable[..., Reference],
    split: Split,
    shift_set: ShiftSet,
    batch: int,
) -> int:
    """The number of shifts at once with the highest measured throughput, doubling while it pays by 5 %."""
    sources, labels = _batch(split, 0, batch)
    seen = reference(subject.state, sources, labels)
    best, best_rate, width = 1, 0.0, 1
    while width <= min(MAX_WIDTH, shift_set.count):
        try:
            block, size = compiled(width)
            shifts, mask = _block(shift_set, 0, size, 0, batch)
            arguments = (subject.state, sources, labels, seen, np.ones(batch, np.float32), shifts, mask)
            jax.block_until_ready(block(*arguments))
            started = time.perf_counter()
            jax.block_until_ready(block(*arguments))
            rate = size / (time.perf_counter() - started)
        except jax.errors.JaxRuntimeError as error:
            if width > 1 and _out_of_memory(error):
                break
            raise
        if rate < 1.05 * best_rate:
            break
        best, best_rate, width = width, rate, width * 2
    return best


def _batch(split: Split, start: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Source images and labels from `start`, filled up with empty images to `batch`."""
    images, labels = split.images[start : start + batch], split.labels[start : start + batch]
    missing = batch - len(images)
    if missing:
        images = np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)])
        labels = np.concatenate([labels, np.zeros(missing, labels.dtype)])
    return images, labels


def _block_size(count: int, width: int) -> int:
    """Shifts per call: at most `BLOCK_SHIFTS`, evened out over the calls, a multiple of the width."""
    calls = math.ceil(count / BLOCK_SHIFTS)
    return width * math.ceil(count / calls / width)


def _block(shift_set: ShiftSet, first: int, size: int, start: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Shifts [s 2], or [s b 2] for per-image sets, from column `first`, filled up with zeros; and their mask."""
    shifts = shift_set.shifts
    if shifts.ndim == 3:
        shifts = shifts[start : start + batch].transpose(1, 0, 2)
        shifts = np.pad(shifts, ((0, 0), (0, batch - shifts.shape[1]), (0, 0)))
    shifts = shifts[first : first + size]
    mask = (np.arange(size) < len(shifts)).astype(np.float32)
    return np.pad(shifts, ((0, size - len(shifts)), *((0, 0),) * (shifts.ndim - 1))), mask


def _default_batch() -> int:
    return CPU_BATCH if jax.default_backend() == "cpu" else ACCELERATOR_BATCH


def _out_of_memory(error: Exception) -> bool:
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
