"""How a job is cut into calls: by rule, and by trial where what is fastest differs from model to model."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import jax

from cnnshift.sweep.compiled import compile_block, compile_reference, first_block
from cnnshift.sweep.device import PRECISION, out_of_memory
from cnnshift.sweep.job import Job
from cnnshift.sweep.program import Reference

log = logging.getLogger("cnnshift")

CPU_BATCH, ACCELERATOR_BATCH = 128, 1024
CPU_BATCH_PIXELS = 128 * 32 * 32
"""Larger images come in smaller batches on a CPU, whose caches they would leave."""

MAX_WIDTH = 64

TRIAL_SECONDS, TRIALS, TRIAL_SHARE = 0.02, 3, 0.1
"""Of the calls that are timed to choose their size: length, number, and share of all the work."""

VISIT_SECONDS, BLOCK_SECONDS = 0.01, 1.0
"""How long a program may stay outside at a time to save the way, and how long a call of a program may take: what comes
between two steps of progress, and before an interruption."""

CALLS_A_LANE = 4
"""Calls of the program that every lane should get, lest some of them wait for the last one."""


def default_batch(job: Job) -> int:
    """Images of a batch where nothing else is said or measured."""
    if jax.default_backend() != "cpu":
        return ACCELERATOR_BATCH
    height, width = job.split.size
    return max(1, min(CPU_BATCH, CPU_BATCH_PIXELS // (height * width)))


def fastest_width(job: Job, reference: Callable[..., Reference], batch: int) -> int:
    """The number of shifts at once with the highest measured throughput, doubling while it pays by 5 %."""
    best, best_rate, width = 1, 0.0, 1
    while width <= min(MAX_WIDTH, job.shift_set.count):
        try:
            block, arguments = compile_block(job, reference, batch, width), first_block(job, reference, batch, width)
            jax.block_until_ready(block(*arguments))
            started = time.perf_counter()
            jax.block_until_ready(block(*arguments))
            size = job.block_size(width)
            # What fills up the last block is no work done.
            rate = job.shift_set.count / math.ceil(job.shift_set.count / size) / (time.perf_counter() - started)
        except jax.errors.JaxRuntimeError as error:
            if width > 1 and out_of_memory(error):
                break
            raise
        if rate < 1.05 * best_rate:
            break
        best, best_rate, width = width, rate, width * 2
    return best


def outside_calls(job: Job, *, timed: bool) -> tuple[Job, int]:
    """A job whose model runs outside of the program, in calls of the fastest size; and the images of a batch.

    A batch is of several calls where these are short, because leaving the program takes time too, and of as many as
    ask for the fewest calls in all. A block has fewer shifts where a call of the program would be long, or where there
    are too few calls for the lanes.

    Args:
        job: what is to be swept.
        timed: whether calls of several sizes are timed; otherwise a batch is one call, of the default size.
    """
    outside = job.subject.outside
    assert outside is not None
    images, shifts, lanes = len(job.split), job.shift_set.count, job.subject.lanes
    sizes = [outside.batch] if outside.batch else [2**i for i in range(min(CPU_BATCH, images).bit_length())]
    if not timed:
        return job, outside.batch or default_batch(job)
    # Where there is too little work for a trial, calls of the program are as short as can be.
    size, rate = _fastest_size(job, sizes) or (outside.batch or default_batch(job), 0.0)
    # Images that a lane sees in a call of the program, and of those the images that it hands over at a time.
    share = min(rate * BLOCK_SECONDS / lanes, images * shifts / (CALLS_A_LANE * lanes))
    visit = min(rate * VISIT_SECONDS / lanes, share, default_batch(job))
    counts = range(1, max(1, int(visit / size)) + 1)
    batch = size * min(counts, key=lambda count: (count * math.ceil(images / (count * size)), -count))
    job = replace(
        job,
        subject=replace(job.subject, apply=outside.in_calls_of(size)),
        block_shifts=max(1, min(job.block_shifts, int(share / min(batch, images)))),
    )
    return job, batch


def _fastest_size(job: Job, sizes: Sequence[int]) -> tuple[int, float] | None:
    """The number of images of a call with the highest throughput of all lanes, and that throughput in images a second.

    Sizes are tried in turn until neither of the last two was the best, the memory does not suffice, or the trials would
    take more than a share of the work itself. None where that allows not even one.
    """
    rates: dict[int, float] = {}
    width, left = job.subject.lanes, TRIAL_SHARE * len(job.split) * (job.shift_set.count + 1)
    for size in sizes:
        # Two single calls, and as many in each trial of every lane as there is time and work left for.
        most = (left / size - 2) / (TRIALS * width)
        if most < 1:
            break
        try:
            with jax.default_matmul_precision(PRECISION):
                reference, _ = compile_reference(job, size)
            call = partial(reference, job.subject.state, *job.batch(0, size)[:2])
            # The first call allocates.
            jax.block_until_ready(call())
            rate, calls = _rate(lambda call=call: jax.block_until_ready(call()), width, int(most))
            rates[size], left = size * rate, left - size * (1 + calls)
        except jax.errors.JaxRuntimeError as error:
            if not out_of_memory(error):
                raise
            break
        if max(rates.values()) > max(list(rates.values())[-2:]):
            break
    log.debug("sweep: images a second in calls of so many: %s", {size: round(rate) for size, rate in rates.items()})
    return max(rates.items(), key=lambda tried: tried[1]) if rates else None


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
