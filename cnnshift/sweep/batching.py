"""Choose the batch size and the number of shifts per call, by rule or by timing trial calls."""

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
from cnnshift.sweep.device import PRECISION, is_out_of_memory
from cnnshift.sweep.program import Reference
from cnnshift.sweep.sweep_inputs import SweepInputs

log = logging.getLogger("cnnshift")

CPU_BATCH, ACCELERATOR_BATCH = 128, 1024
CPU_BATCH_PIXELS = 128 * 32 * 32
"""Largest number of pixels of a default batch on a CPU, so that it fits into the caches."""

MAX_WIDTH = 64

MIN_SPEEDUP = 1.05
"""Throughput of twice the number of shifts at once, relative to the best so far, below which the search stops."""

TRIAL_SECONDS, TRIALS, TRIAL_SHARE = 0.02, 3, 0.1
"""Length and number of the trials of a batch size, and largest share of a sweep's images that all trials may use."""

CALLBACK_SECONDS, BLOCK_SECONDS = 0.01, 1.0
"""Duration up to which calls of a host runtime are joined into one callback, which saves overhead; and of a call of the
block program, after which progress is reported and an interruption takes effect."""

MAX_CALLS = 1.05
"""Largest number of host calls, relative to the fewest possible, to join more of them into one callback."""

CALLS_PER_WORKER = 4
"""Number of calls of the block program that each worker should get, so that all finish at about the same time."""


def default_batch(inputs: SweepInputs) -> int:
    """Return the default number of images of a batch."""
    if jax.default_backend() != "cpu":
        return ACCELERATOR_BATCH
    height, width = inputs.split.size
    return max(1, min(CPU_BATCH, CPU_BATCH_PIXELS // (height * width)))


def fastest_width(inputs: SweepInputs, reference: Callable[..., Reference], batch: int) -> int:
    """Return the number of shifts at once with the highest throughput, doubling it while `MIN_SPEEDUP` is reached."""
    count = inputs.shift_set.count
    best, best_rate, width = 1, 0.0, 1
    while width <= min(MAX_WIDTH, count):
        try:
            block, arguments = (
                compile_block(inputs, reference, batch, width),
                first_block(inputs, reference, batch, width),
            )
            jax.block_until_ready(block(*arguments))
            started = time.perf_counter()
            jax.block_until_ready(block(*arguments))
            # The padding of the last block does not count.
            rate = count / math.ceil(count / inputs.block_size(width)) / (time.perf_counter() - started)
        except jax.errors.JaxRuntimeError as error:
            if width > 1 and is_out_of_memory(error):
                break
            raise
        if rate < MIN_SPEEDUP * best_rate:
            break
        best, best_rate, width = width, rate, width * 2
    return best


def tune_host_batch(inputs: SweepInputs, batch: int | None, width: int | None) -> tuple[SweepInputs, int, int]:
    """Choose the sizes of a sweep whose model runs outside of the compiled program.

    The host runtime is called with the number of images of highest throughput. A batch of the program consists of
    several such calls if they are short. A block has fewer shifts if it would take long, or if there would be too few
    blocks for the workers.

    Args:
        inputs: inputs of the sweep.
        batch: batch size set by the caller, or None. Trial calls are timed only if neither it nor `width` is set.
        width: number of shifts at once set by the caller, or None; by default more than 1 only if all images do not
            fill one call of a fixed size.

    Returns:
        The inputs with the size of host calls and blocks, the batch size and the number of shifts at once.
    """
    runtime = inputs.model.host_runtime
    assert runtime is not None
    images, shifts, workers = len(inputs.split), inputs.shift_set.count, inputs.model.num_workers
    fixed = runtime.fixed_batch
    sizes = [fixed] if fixed else [2**i for i in range(min(CPU_BATCH, images).bit_length())]
    trial = _fastest_size(inputs, sizes) if batch is None and width is None else None
    size = trial[0] if trial else batch or fixed or default_batch(inputs)
    # Image-shifts per worker in a call of the block program.
    share = images * shifts / (CALLS_PER_WORKER * workers)
    if trial:
        rate = trial[1] / workers
        share = min(share, rate * BLOCK_SECONDS)
        joined = max(1, int(min(share, rate * CALLBACK_SECONDS, default_batch(inputs)) / size))
        calls = {count: count * math.ceil(images / (count * size)) for count in range(1, joined + 1)}
        batch = size * max(count for count in calls if calls[count] <= MAX_CALLS * min(calls.values()))
        inputs = replace(inputs, model=replace(inputs.model, apply=runtime.with_max_batch(size)))
    batch = batch or size
    if width is None:
        width = max(1, min(shifts, fixed // images)) if fixed else 1
    # Padding takes as long as images.
    padded = max(min(batch, images), fixed or 1)
    block = max(1, int(share / padded)) * width
    return replace(inputs, block_shifts=min(inputs.block_shifts, block)), batch, width


def _fastest_size(inputs: SweepInputs, sizes: Sequence[int]) -> tuple[int, float] | None:
    """Return the number of images per host call with the highest throughput, and that throughput in images/s.

    Sizes are tried in turn until the last two were slower than the best, the memory does not suffice, or the trials
    would exceed `TRIAL_SHARE`. None if that allows no trial.
    """
    rates: dict[int, float] = {}
    workers, budget = inputs.model.num_workers, TRIAL_SHARE * len(inputs.split) * (inputs.shift_set.count + 1)
    for size in sizes:
        # Two single calls precede the trials.
        most = (budget / size - 2) / (TRIALS * workers)
        if most < 1:
            break
        try:
            with jax.default_matmul_precision(PRECISION):
                reference, _ = compile_reference(inputs, size)
            call = partial(reference, inputs.model.state, *inputs.batch(0, size)[:2])
            # The first call allocates memory.
            jax.block_until_ready(call())
            rate, calls = _call_rate(lambda call=call: jax.block_until_ready(call()), workers, int(most))
            rates[size], budget = size * rate, budget - size * (1 + calls)
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        if max(rates.values()) > max(list(rates.values())[-2:]):
            break
    log.debug("sweep: images/s by images per call: %s", {size: round(rate) for size, rate in rates.items()})
    return max(rates.items(), key=lambda trial: trial[1]) if rates else None


def _call_rate(call: Callable[[], object], workers: int, most: int) -> tuple[float, int]:
    """Return calls per second, the best of `TRIALS` trials with all workers, and the number of calls made.

    A trial lasts `TRIAL_SECONDS`, or `most` calls per worker.
    """
    started = time.perf_counter()
    call()
    repeats = min(math.ceil(TRIAL_SECONDS / (time.perf_counter() - started)), most)
    seconds = []
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(TRIALS):
            started = time.perf_counter()
            for future in [pool.submit(lambda: [call() for _ in range(repeats)]) for _ in range(workers)]:
                future.result()
            seconds.append(time.perf_counter() - started)
    return workers * repeats / min(seconds), 1 + TRIALS * workers * repeats
