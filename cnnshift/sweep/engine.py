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

from cnnshift.cores import lanes
from cnnshift.data.base import Split
from cnnshift.errors import InputError, MeasurementError
from cnnshift.observations import Observations
from cnnshift.shifts.base import Protocol
from cnnshift.shifts.sets import ShiftSet
from cnnshift.sweep.agreement import check_against_direct
from cnnshift.sweep.device import PRECISION
from cnnshift.sweep.job import Job
from cnnshift.sweep.phases import phase_program
from cnnshift.sweep.program import Block, Reference, block_program, reference_program
from cnnshift.sweep.sharing import Sharing, find_sharing
from cnnshift.sweep.subject import Subject
from cnnshift.sweep.table import Table

Progress = Callable[[int], None]

log = logging.getLogger("cnnshift")

Engine = Literal["auto", "direct", "shared"]

WORTH_IT = 2
"""The shared engine must save at least this factor of forward passes to be chosen: its heads and its check cost too."""


CPU_BATCH, ACCELERATOR_BATCH = 128, 1024
CPU_BATCH_PIXELS = 128 * 32 * 32
"""Larger images come in smaller batches on a CPU, whose caches they would leave."""

TRIAL_SECONDS, TRIALS, TRIAL_SHARE = 0.02, 3, 0.1
"""Of the calls that are timed to choose a batch: length, number, and share of all the work."""

MAX_WIDTH = 64
SMALLEST_BATCH = 16


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
    subject: Subject,
    split: Split,
    protocol: Protocol,
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
    job = Job(subject, split, protocol, shift_set)
    if (sharing := _choose(job, engine)) is not None:
        # A call takes all shifts of a batch: only several batches keep every core busy.
        size = batch_size or min(_default_batch(job), max(SMALLEST_BATCH, math.ceil(len(split) / _lanes(subject))))
        try:
            return _with_memory(job, size, progress, partial(_shared, job, sharing, progress))
        except _DisagreementError as difference:
            if engine == "shared":
                raise MeasurementError(f"The shared engine does not agree with the direct one: {difference}.") from None
            log.warning("The shared engine does not agree with the direct one (%s); measuring directly.", difference)
            progress(-len(split) * shift_set.count)
    if (outside := subject.outside) is None or batch_size is not None or width is not None:
        return _with_memory(job, batch_size, progress, partial(_direct, job, width, progress))
    started = time.perf_counter()
    most = outside.batch or _fastest_batch(job)
    job = replace(job, subject=replace(subject, apply=outside.in_calls_of(most)))
    # Leaving the program and coming back takes time too: several calls each time.
    batch_size = most * max(1, _default_batch(job) // most)
    found = _with_memory(job, batch_size, progress, partial(_direct, job, width, progress))
    return replace(found, compile_seconds=time.perf_counter() - started - found.sweep_seconds)


class _DisagreementError(Exception):
    """Where the shared engine does not see what the model says."""


def _choose(job: Job, engine: Engine) -> Sharing | None:
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


def _with_memory(job: Job, batch_size: int | None, progress: Progress, sweep: Callable[[Table, int], Sweep]) -> Sweep:
    """A sweep in batches as large as the memory allows."""
    images = len(job.split)
    limit = min(batch_size or _default_batch(job), images)
    while True:
        batch = math.ceil(images / math.ceil(images / limit))
        table = Table(job)
        try:
            with jax.default_matmul_precision(PRECISION):
                return sweep(table, batch)
        except jax.errors.JaxRuntimeError as error:
            if not _out_of_memory(error):
                raise
            if batch == 1:
                raise MeasurementError("One image does not fit into the device's memory.") from error
            progress(-table.finished)
            limit = batch // 2


def _shared(job: Job, sharing: Sharing, progress: Progress, table: Table, batch: int) -> Sweep:
    started = time.perf_counter()
    state, parts = job.subject.state, job.subject.parts
    assert parts is not None
    reference, flops = _compile_reference(job, batch)
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


def _direct(job: Job, width: int | None, progress: Progress, table: Table, batch: int) -> Sweep:
    started = time.perf_counter()
    count = job.shift_set.count
    reference, flops = _compile_reference(job, batch)
    if width is None:
        single = jax.default_backend() == "cpu" or job.subject.outside is not None
        width = 1 if single else _fastest_width(job, reference, batch)
    block, size = _compile_block(job, reference, batch, width), job.block_size(width)
    log.debug(
        "sweep: %d images × %d shifts at once, %d shifts a call, %d calls at a time",
        batch,
        width,
        size,
        _lanes(job.subject),
    )
    compile_seconds = time.perf_counter() - started

    def blocks(start: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        return ((first, job.block(first, size, start, batch)) for first in range(0, count, size))

    observations = _fill(table, job, batch, reference, block, blocks, progress)
    seconds = time.perf_counter() - started - compile_seconds
    forwards = len(job.split) * (count + 1)
    return Sweep(observations, compile_seconds, seconds, batch, width, flops, "direct", forwards)


def _fill(
    table: Table,
    job: Job,
    batch: int,
    reference: Callable[..., Reference],
    program: Callable[..., Block],
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

    def calls() -> Iterator[tuple[int, int, Callable[[], Block]]]:
        for start in range(0, len(job.split), batch):
            sources, labels, images_mask = job.batch(start, batch)
            seen = reference(state, sources, labels)
            table.put_reference(start, seen)
            for first, arguments in blocks(start):
                yield start, first, partial(program, state, sources, labels, seen, images_mask, *arguments)

    for start, first, done in _in_lanes(calls(), _lanes(job.subject)):
        progress(table.put(start, first, done))
    return table.observations()


def _in_lanes(calls: Iterator[tuple[int, int, Callable[[], Block]]], lanes: int) -> Iterator[tuple[int, int, Block]]:
    """Run calls, `lanes` at a time and one more waiting; their results come in the order of the calls."""
    with ThreadPoolExecutor(lanes) as pool:
        waiting: deque[tuple[int, int, Future[Block]]] = deque()
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


def _finish(call: tuple[int, int, Future[Block]]) -> tuple[int, int, Block]:
    start, first, future = call
    return start, first, future.result()


def _lanes(subject: Subject) -> int:
    """Calls at a time. On CPU one for each core: a single call keeps little more than one of them busy."""
    if jax.default_backend() != "cpu" or (subject.outside is not None and not subject.outside.concurrent):
        return 1
    return lanes()


def _compile_reference(job: Job, batch: int) -> tuple[Callable[..., Reference], float | None]:
    sources, labels, _ = job.batch(0, batch)
    lowered = reference_program(job.subject.apply, job.protocol).lower(job.subject.state, sources, labels)
    flops = None if job.subject.outside is not None else (lowered.cost_analysis() or {}).get("flops")
    return lowered.compile(), None if flops is None else flops / batch


def _compile_block(job: Job, reference: Callable[..., Reference], batch: int, width: int) -> Callable[..., Block]:
    per_image = job.shift_set.shifts.ndim == 3
    program = block_program(job.subject.apply, job.protocol, width=width, per_image=per_image)
    return program.lower(*_first_block(job, reference, batch, width)).compile()


def _first_block(job: Job, reference: Callable[..., Reference], batch: int, width: int) -> tuple[Any, ...]:
    """Arguments of the first call of the block program."""
    sources, labels, images_mask = job.batch(0, batch)
    seen = reference(job.subject.state, sources, labels)
    return (job.subject.state, sources, labels, seen, images_mask, *job.block(0, job.block_size(width), 0, batch))


def _fastest_width(job: Job, reference: Callable[..., Reference], batch: int) -> int:
    """The number of shifts at once with the highest measured throughput, doubling while it pays by 5 %."""
    best, best_rate, width = 1, 0.0, 1
    while width <= min(MAX_WIDTH, job.shift_set.count):
        try:
            block, arguments = _compile_block(job, reference, batch, width), _first_block(job, reference, batch, width)
            jax.block_until_ready(block(*arguments))
            started = time.perf_counter()
            jax.block_until_ready(block(*arguments))
            size = job.block_size(width)
            # What fills up the last block is no work done.
            rate = job.shift_set.count / math.ceil(job.shift_set.count / size) / (time.perf_counter() - started)
        except jax.errors.JaxRuntimeError as error:
            if width > 1 and _out_of_memory(error):
                break
            raise
        if rate < 1.05 * best_rate:
            break
        best, best_rate, width = width, rate, width * 2
    return best


def _fastest_batch(job: Job) -> int:
    """The number of images of a call with the highest measured throughput of all lanes.

    It is doubled until neither of the last two was the best, the memory does not suffice, or the trials would take
    more than a share of the work itself.
    """
    rates: dict[int, float] = {}
    width, left = _lanes(job.subject), TRIAL_SHARE * len(job.split) * (job.shift_set.count + 1)
    while (batch := 2 ** len(rates)) <= min(CPU_BATCH, len(job.split)):
        # Two single calls, and as many in each trial of every lane as there is time and work left for.
        most = (left / batch - 2) / (TRIALS * width)
        if most < 1:
            break
        try:
            with jax.default_matmul_precision(PRECISION):
                reference, _ = _compile_reference(job, batch)
            call = partial(reference, job.subject.state, *job.batch(0, batch)[:2])
            # The first call allocates.
            jax.block_until_ready(call())
            rate, calls = _rate(lambda call=call: jax.block_until_ready(call()), width, int(most))
            rates[batch], left = batch * rate, left - batch * (1 + calls)
        except jax.errors.JaxRuntimeError as error:
            if not _out_of_memory(error):
                raise
            break
        if max(rates.values()) > max(list(rates.values())[-2:]):
            break
    best = max(rates, key=lambda batch: rates[batch]) if rates else _default_batch(job)
    log.debug("sweep: calls of %d images; tried: %s", best, rates)
    return best


def _rate(call: Callable[[], object], width: int, most: int) -> tuple[float, int]:
    """Calls per second, `width` at a time: the best of several trials; and the calls that were made.

    A trial is long enough for the clock, or of `most` calls in each lane.
    """
    started = time.perf_counter()
    call()
    repeats = min(math.ceil(TRIAL_SECONDS / (time.perf_counter() - started)), most)
    trials = []
    with ThreadPoolExecutor(width) as pool:
        for _ in range(TRIALS):
            started = time.perf_counter()
            for done in [pool.submit(lambda: [call() for _ in range(repeats)]) for _ in range(width)]:
                done.result()
            trials.append(time.perf_counter() - started)
    return width * repeats / min(trials), 1 + TRIALS * width * repeats


def _default_batch(job: Job) -> int:
    if jax.default_backend() != "cpu":
        return ACCELERATOR_BATCH
    height, width = job.split.size
    return max(1, min(CPU_BATCH, CPU_BATCH_PIXELS // (height * width)))


def _out_of_memory(error: Exception) -> bool:
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
