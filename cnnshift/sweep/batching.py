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

from cnnshift.sweep.compile import compile_block, compile_reference, first_block
from cnnshift.sweep.device import PRECISION, out_of_memory
from cnnshift.sweep.program import Reference
from cnnshift.sweep.sweep_inputs import SweepInputs

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

FEW_MORE = 1.05
"""By how much calls may be more than the fewest, to come in longer visits."""

CALLS_A_LANE = 4
"""Calls of the program that every lane should get, lest some of them wait for the last one."""


def default_batch(job: SweepInputs) -> int:
    """Images of a batch where nothing else is said or measured."""
    if jax.default_backend() != "cpu":
        return ACCELERATOR_BATCH
    height, width = job.split.size
    return max(1, min(CPU_BATCH, CPU_BATCH_PIXELS // (height * width)))


def fastest_width(job: SweepInputs, reference: Callable[..., Reference], batch: int) -> int:
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


def tune_host_batch(job: SweepInputs, batch: int | None, width: int | None) -> tuple[SweepInputs, int, int]:
    """A job whose model runs outside of the program, in calls of the fastest size; images of a batch; shifts at once.

    A batch is of several calls where these are short, because leaving the program takes time too. A block has fewer
    shifts where a call of the program would be long, or where there are too few calls for the lanes.

    Args:
        job: what is to be swept.
        batch: what was asked for. With it, or with a width, nothing is timed.
        width: what was asked for; by default more than 1 only where all images do not fill the one size of a call.
    """
    outside = job.subject.outside
    assert outside is not None
    images, shifts, lanes = len(job.split), job.shift_set.count, job.subject.lanes
    timed = batch is None and width is None
    only, limit = outside.batch, default_batch(job)
    sizes = [only] if only else [2**i for i in range(min(CPU_BATCH, images).bit_length())]
    tried = _fastest_size(job, sizes) if timed else None
    size = tried[0] if tried else batch or only or limit
    # What a lane sees in a call of the program: a part of the work, and of that no more than takes so long.
    share = images * shifts / (CALLS_A_LANE * lanes)
    if tried:
        share = min(share, tried[1] * BLOCK_SECONDS / lanes)
        visit = min(share, tried[1] * VISIT_SECONDS / lanes, limit)
        counts = range(1, max(1, int(visit / size)) + 1)
        calls = {count: count * math.ceil(images / (count * size)) for count in counts}
        # A few calls more are less than one way for each.
        batch = size * max(count for count in counts if calls[count] <= FEW_MORE * min(calls.values()))
        job = replace(job, subject=replace(job.subject, apply=outside.in_calls_of(size)))
    batch = batch or size
    if width is None:
        width = max(1, min(shifts, only // images)) if only else 1
    # What fills a call up takes as long as the others.
    paid = max(min(batch, images), only or 1)
    block = max(1, int(share / paid)) * width
    return replace(job, block_shifts=min(job.block_shifts, block)), batch, width


def _fastest_size(job: SweepInputs, sizes: Sequence[int]) -> tuple[int, float] | None:
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
