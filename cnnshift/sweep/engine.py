"""Runs the compiled programs over all images and shifts: batches, blocks, memory, and the table they fill."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax

from cnnshift.config import Engine
from cnnshift.data.split import Split
from cnnshift.errors import InputError, MeasurementError
from cnnshift.observations import Observations
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.shifts.sets import ShiftSet
from cnnshift.sweep.batching import default_batch, fastest_width, tune_host_batch
from cnnshift.sweep.compile import compile_block, compile_reference
from cnnshift.sweep.crosscheck import check_against_direct
from cnnshift.sweep.device import PRECISION, out_of_memory
from cnnshift.sweep.observation_table import ObservationTable
from cnnshift.sweep.phase_program import phase_program
from cnnshift.sweep.program import BlockResult, Reference
from cnnshift.sweep.pure_model import PureModel
from cnnshift.sweep.sharing import Sharing, find_sharing
from cnnshift.sweep.sweep_inputs import SweepInputs

Progress = Callable[[int], None]

log = logging.getLogger("cnnshift")

WORTH_IT = 2
"""The shared engine must save at least this factor of forward passes to be chosen: its heads and its check cost too."""

SMALLEST_BATCH = 16
"""Of the shared engine, for however many cores."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished sweep.

    Attributes:
        observations: what the model said.
        compile_seconds, sweep_seconds: wall-clock time; the first includes that of choosing a batch.
        batch_size: images per compiled step, after any halving.
        width: shifts evaluated at once.
        flops: of one forward pass of one image as the compiler counts them, None where it does not, and for a model
            that runs outside of the compiled program.
        engine: what ran.
        forwards: passes of an image through the trunk.
    """

    observations: Observations
    compile_seconds: float
    sweep_seconds: float
    batch_size: int
    width: int
    flops: float | None
    engine: Literal["direct", "shared"]
    forwards: int


def run_sweep(
    subject: PureModel,
    split: Split,
    protocol: ShiftProtocol,
    shift_set: ShiftSet,
    *,
    batch_size: int | None = None,
    width: int | None = None,
    engine: Engine = "auto",
    progress: Progress = lambda done: None,
) -> Sweep:
    """Evaluate a model at every shift of every image.

    Args:
        subject: the model.
        split: n images.
        protocol: how they move; its reach covers the shifts.
        shift_set: s shifts, or s per image.
        batch_size: images per compiled step. By default 128 on CPU, and fewer of more than 32×32 pixels; 1,024
            elsewhere. A model that runs outside of the compiled program is called with as many, or by default with
            the number that was measured to be fastest, or the only one that it takes. Either way it is evened out
            over the batches, and halved when the device's memory does not suffice.
        width: shifts evaluated at once. By default 1 on CPU, where more was measured to be slower, and measured on
            other backends.
        engine: `direct` runs the model on every shifted image; `shared` runs its trunk once per phase of its stride,
            see `cnnshift.sweep.sharing`; `auto` does that where it is possible and saves work, and where a random
            check against the direct engine agrees.
        progress: called with the number of image-shifts just finished.

    Raises:
        InputError: `shared` was asked for, and the model or the shifts do not allow it.
        MeasurementError: `shared` was asked for, and does not agree with the direct engine; the model gave values that
            are not finite; or one image does not fit into memory.
    """
    job = SweepInputs(subject, split, protocol, shift_set)
    if (sharing := _choose(job, engine)) is not None:
        # A call takes all shifts of a batch: only several batches keep every core busy.
        size = batch_size or min(default_batch(job), max(SMALLEST_BATCH, math.ceil(len(split) / subject.lanes)))
        try:
            return _with_memory(job, size, progress, partial(_shared, job, sharing, progress))
        except _DisagreementError as difference:
            if engine == "shared":
                raise MeasurementError(f"The shared engine does not agree with the direct one: {difference}.") from None
            log.warning("The shared engine does not agree with the direct one (%s); measuring directly.", difference)
            progress(-len(split) * shift_set.count)
    started = time.perf_counter()
    if subject.outside is not None:
        job, batch_size, width = tune_host_batch(job, batch_size, width)
    seconds = time.perf_counter() - started
    found = _with_memory(job, batch_size, progress, partial(_direct, job, width, progress))
    return replace(found, compile_seconds=found.compile_seconds + seconds)


class _DisagreementError(Exception):
    """Where the shared engine does not see what the model says."""


def _choose(job: SweepInputs, engine: Engine) -> Sharing | None:
    """How to share forward passes; None to run every one."""
    if engine == "direct":
        return None
    sharing = find_sharing(job.subject, job.split, job.protocol, job.shift_set)
    if isinstance(sharing, str):
        if engine == "shared":
            raise InputError(f"The shared engine is not possible here: {sharing}.")
        log.debug("engine: direct, because %s", sharing)
        return None
    if engine == "auto" and len(sharing.phases) * WORTH_IT > job.shift_set.count:
        log.debug("engine: direct, because %d phases serve %d shifts", len(sharing.phases), job.shift_set.count)
        return None
    log.debug("engine: shared, %d phases for %d shifts", len(sharing.phases), job.shift_set.count)
    return sharing


def _with_memory(
    job: SweepInputs, batch_size: int | None, progress: Progress, sweep: Callable[[ObservationTable, int], Sweep]
) -> Sweep:
    """A sweep in batches as large as the memory allows."""
    images = len(job.split)
    limit = min(batch_size or default_batch(job), images)
    while True:
        batch = math.ceil(images / math.ceil(images / limit))
        table = ObservationTable(job)
        try:
            with jax.default_matmul_precision(PRECISION):
                return sweep(table, batch)
        except jax.errors.JaxRuntimeError as error:
            if not out_of_memory(error):
                raise
            least = 1 if job.subject.outside is None else job.subject.outside.batch or 1
            if batch <= least:
                what = "One image does" if least == 1 else f"A call of {least} images, the only one it takes, does"
                raise MeasurementError(f"{what} not fit into the device's memory.") from error
            progress(-table.finished)
            limit = batch // 2


def _shared(job: SweepInputs, sharing: Sharing, progress: Progress, table: ObservationTable, batch: int) -> Sweep:
    started = time.perf_counter()
    state, parts = job.subject.state, job.subject.parts
    assert parts is not None
    reference, flops = compile_reference(job, batch)
    how = (sharing.weights, sharing.index)
    sources, labels, images_mask = job.batch(0, batch)
    example = (state, sources, labels, reference(state, sources, labels), images_mask, *how)
    program = phase_program(parts, job.protocol, sharing).lower(*example).compile()
    compile_seconds = time.perf_counter() - started
    observations = _fill(table, job, batch, reference, program, lambda start: iter([(0, how)]), progress)
    seconds = time.perf_counter() - started - compile_seconds
    if (difference := check_against_direct(job, observations, batch, reference)) is not None:
        raise _DisagreementError(difference)
    forwards = len(job.split) * (len(sharing.phases) + 1)
    return Sweep(observations, compile_seconds, seconds, batch, 1, flops, "shared", forwards)


def _direct(job: SweepInputs, width: int | None, progress: Progress, table: ObservationTable, batch: int) -> Sweep:
    started = time.perf_counter()
    count = job.shift_set.count
    reference, flops = compile_reference(job, batch)
    if width is None:
        width = 1 if jax.default_backend() == "cpu" else fastest_width(job, reference, batch)
    block, size = compile_block(job, reference, batch, width), job.block_size(width)
    log.debug(
        "sweep: %d images × %d shifts at once, %d shifts a call, %d calls at a time",
        batch,
        width,
        size,
        job.subject.lanes,
    )
    compile_seconds = time.perf_counter() - started

    def blocks(start: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        return ((first, job.block(first, size, start, batch)) for first in range(0, count, size))

    observations = _fill(table, job, batch, reference, block, blocks, progress)
    seconds = time.perf_counter() - started - compile_seconds
    forwards = len(job.split) * (count + 1)
    return Sweep(observations, compile_seconds, seconds, batch, width, flops, "direct", forwards)


def _fill(
    table: ObservationTable,
    job: SweepInputs,
    batch: int,
    reference: Callable[..., Reference],
    program: Callable[..., BlockResult],
    blocks: Callable[[int], Iterator[tuple[int, tuple[Any, ...]]]],
    progress: Progress,
) -> Observations:
    """Run a compiled program over all batches, and over the blocks of shifts of each.

    Args:
        table: what is filled.
        job: what is swept.
        batch: images of a call.
        reference: the program of unshifted images.
        program: of a block of shifts.
        blocks: from the first image of a batch to its blocks: the first shift, and what the program needs of each.
        progress: called with the number of image-shifts just finished.
    """
    state = job.subject.state

    def calls() -> Iterator[tuple[int, int, Callable[[], BlockResult]]]:
        for start in range(0, len(job.split), batch):
            sources, labels, images_mask = job.batch(start, batch)
            seen = reference(state, sources, labels)
            table.put_reference(start, seen)
            for first, arguments in blocks(start):
                yield start, first, partial(program, state, sources, labels, seen, images_mask, *arguments)

    for start, first, done in _in_lanes(calls(), job.subject.lanes):
        progress(table.put(start, first, done))
    return table.observations()


def _in_lanes(
    calls: Iterator[tuple[int, int, Callable[[], BlockResult]]], lanes: int
) -> Iterator[tuple[int, int, BlockResult]]:
    """Run calls, `lanes` at a time and one more waiting; their results come in the order of the calls."""
    with ThreadPoolExecutor(lanes) as pool:
        waiting: deque[tuple[int, int, Future[BlockResult]]] = deque()
        try:
            for start, first, call in calls:
                waiting.append((start, first, pool.submit(lambda call=call: jax.block_until_ready(call()))))
                if len(waiting) > lanes:
                    yield _finish(waiting.popleft())
            while waiting:
                yield _finish(waiting.popleft())
        finally:
            for _, _, future in waiting:
                future.cancel()


def _finish(call: tuple[int, int, Future[BlockResult]]) -> tuple[int, int, BlockResult]:
    start, first, future = call
    return start, first, future.result()
