"""Run the compiled programs of a sweep over all images and shifts."""

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
from cnnshift.sweep.crosscheck import find_disagreement
from cnnshift.sweep.device import PRECISION, is_out_of_memory
from cnnshift.sweep.observation_table import ObservationTable
from cnnshift.sweep.phase_program import phase_program
from cnnshift.sweep.program import BlockResult, Reference
from cnnshift.sweep.pure_model import PureModel
from cnnshift.sweep.sharing import Sharing, find_sharing
from cnnshift.sweep.sweep_inputs import SweepInputs
from cnnshift.unavailable import Unavailable

Progress = Callable[[int], None]

log = logging.getLogger("cnnshift")

MIN_SAVING = 2
"""Factor of forward passes that the shared engine must save to be chosen, because its heads and its check cost too."""

MIN_SHARED_BATCH = 16
"""Smallest default batch of the shared engine."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Result of a sweep.

    Attributes:
        observations: observations of all images and shifts.
        compile_seconds, sweep_seconds: wall-clock time; the first includes the choice of a batch size.
        batch_size: images per call of a compiled program.
        width: shifts evaluated at once.
        flops: floating-point operations of a forward pass of one image, as counted by the compiler; None if it does
            not count them, or if the model runs outside of the compiled program.
        engine: engine that ran.
        forward_passes: number of passes of an image through the features.
    """

    observations: Observations
    compile_seconds: float
    sweep_seconds: float
    batch_size: int
    width: int
    flops: float | None
    engine: Literal["direct", "shared"]
    forward_passes: int


def run_sweep(
    model: PureModel,
    split: Split,
    protocol: ShiftProtocol,
    shift_set: ShiftSet,
    *,
    batch_size: int | None = None,
    width: int | None = None,
    engine: Engine = "auto",
    progress: Progress = lambda done: None,
) -> Sweep:
    """Evaluate a model on every image at every shift.

    Args:
        model: the model.
        split: n images.
        protocol: how images move; its reach covers the shifts.
        shift_set: s shifts, or s per image.
        batch_size: images per call of a compiled program. By default 128 on a CPU, fewer for images larger than
            32×32 pixels, and 1,024 on other backends; for a model that runs outside of the compiled program, the
            fastest number in a trial, or the only one that it accepts. It is balanced over the batches, and halved
            while the memory does not suffice.
        width: shifts evaluated at once. By default 1 on a CPU, where more was measured to be slower, and the fastest
            number in a trial on other backends.
        engine: `direct` evaluates the model on every shifted image; `shared` evaluates its features once per phase of
            its stride, see `cnnshift.sweep.sharing`; `auto` is `shared` if that is possible, saves work, and agrees
            with `direct` on random pairs of image and shift.
        progress: called with the number of image-shifts just finished; negative if they are repeated.

    Raises:
        InputError: The engine `shared` is not possible for the model or the shifts.
        MeasurementError: The engine `shared` does not agree with `direct`, a logit is not finite, or one image does not
            fit into memory.
    """
    inputs = SweepInputs(model, split, protocol, shift_set)
    if (sharing := _choose_sharing(inputs, engine)) is not None:
        # A call evaluates all shifts of a batch: every worker needs a batch of its own.
        size = batch_size or min(
            default_batch(inputs), max(MIN_SHARED_BATCH, math.ceil(len(split) / model.num_workers))
        )
        try:
            return _fit_memory(inputs, size, progress, partial(_sweep_shared, inputs, sharing, progress))
        except _DisagreementError as error:
            if engine == "shared":
                raise MeasurementError(f"The shared engine does not agree with the direct engine: {error}.") from None
            log.warning("The shared engine does not agree with the direct engine (%s); using the direct engine.", error)
            progress(-len(split) * shift_set.count)
    started = time.perf_counter()
    if model.host_runtime is not None:
        inputs, batch_size, width = tune_host_batch(inputs, batch_size, width)
    seconds = time.perf_counter() - started
    sweep = _fit_memory(inputs, batch_size, progress, partial(_sweep_direct, inputs, width, progress))
    return replace(sweep, compile_seconds=sweep.compile_seconds + seconds)


class _DisagreementError(Exception):
    """The shared engine does not agree with the direct engine."""


def _choose_sharing(inputs: SweepInputs, engine: Engine) -> Sharing | None:
    """Return how to share forward passes; None for the direct engine."""
    if engine == "direct":
        return None
    sharing = find_sharing(inputs.model, inputs.split, inputs.protocol, inputs.shift_set)
    if isinstance(sharing, Unavailable):
        if engine == "shared":
            raise InputError(f"The shared engine is not possible here: {sharing.reason}.")
        log.debug("engine: direct, because %s", sharing.reason)
        return None
    phases, shifts = len(sharing.phases), inputs.shift_set.count
    if engine == "auto" and phases * MIN_SAVING > shifts:
        log.debug("engine: direct, because %d shifts have %d phases", shifts, phases)
        return None
    log.debug("engine: shared, %d phases for %d shifts", phases, shifts)
    return sharing


def _fit_memory(
    inputs: SweepInputs, batch_size: int | None, progress: Progress, sweep: Callable[[ObservationTable, int], Sweep]
) -> Sweep:
    """Run a sweep, and halve the batch while the memory does not suffice."""
    images = len(inputs.split)
    limit = min(batch_size or default_batch(inputs), images)
    while True:
        batch = math.ceil(images / math.ceil(images / limit))
        table = ObservationTable(inputs)
        try:
            with jax.default_matmul_precision(PRECISION):
                return sweep(table, batch)
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            smallest = 1 if inputs.model.host_runtime is None else inputs.model.host_runtime.fixed_batch or 1
            if batch <= smallest:
                what = "One image does" if smallest == 1 else f"The fixed batch of {smallest} images does"
                raise MeasurementError(f"{what} not fit into the device's memory.") from error
            progress(-table.finished)
            limit = batch // 2


def _sweep_shared(
    inputs: SweepInputs, sharing: Sharing, progress: Progress, table: ObservationTable, batch: int
) -> Sweep:
    started = time.perf_counter()
    state, split_model = inputs.model.state, inputs.model.split_model
    assert split_model is not None
    reference, flops = compile_reference(inputs, batch)
    arguments = (sharing.weights, sharing.index)
    sources, labels, images_mask = inputs.batch(0, batch)
    example = (state, sources, labels, reference(state, sources, labels), images_mask, *arguments)
    program = phase_program(split_model, inputs.protocol, sharing).lower(*example).compile()
    compile_seconds = time.perf_counter() - started
    observations = _fill(table, inputs, batch, reference, program, lambda start: iter([(0, arguments)]), progress)
    seconds = time.perf_counter() - started - compile_seconds
    if (disagreement := find_disagreement(inputs, observations, batch, reference)) is not None:
        raise _DisagreementError(disagreement)
    forward_passes = len(inputs.split) * (len(sharing.phases) + 1)
    return Sweep(observations, compile_seconds, seconds, batch, 1, flops, "shared", forward_passes)


def _sweep_direct(
    inputs: SweepInputs, width: int | None, progress: Progress, table: ObservationTable, batch: int
) -> Sweep:
    started = time.perf_counter()
    count = inputs.shift_set.count
    reference, flops = compile_reference(inputs, batch)
    if width is None:
        width = 1 if jax.default_backend() == "cpu" else fastest_width(inputs, reference, batch)
    block, size = compile_block(inputs, reference, batch, width), inputs.block_size(width)
    log.debug(
        "sweep: %d images × %d shifts at once, %d shifts per call, %d workers",
        batch,
        width,
        size,
        inputs.model.num_workers,
    )
    compile_seconds = time.perf_counter() - started

    def blocks(start: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        return ((first, inputs.block(first, size, start, batch)) for first in range(0, count, size))

    observations = _fill(table, inputs, batch, reference, block, blocks, progress)
    seconds = time.perf_counter() - started - compile_seconds
    forward_passes = len(inputs.split) * (count + 1)
    return Sweep(observations, compile_seconds, seconds, batch, width, flops, "direct", forward_passes)


def _fill(
    table: ObservationTable,
    inputs: SweepInputs,
    batch: int,
    reference: Callable[..., Reference],
    program: Callable[..., BlockResult],
    blocks: Callable[[int], Iterator[tuple[int, tuple[Any, ...]]]],
    progress: Progress,
) -> Observations:
    """Run a compiled program over all batches, and over the blocks of shifts of each.

    Args:
        table: receives the results.
        inputs: inputs of the sweep.
        batch: images per call.
        reference: program of unshifted images.
        program: program of a block of shifts.
        blocks: index of a batch's first image → its blocks: index of the first shift, and further arguments of
            `program`.
        progress: called with the number of image-shifts just finished.
    """
    state = inputs.model.state

    def calls() -> Iterator[tuple[int, int, Callable[[], BlockResult]]]:
        for start in range(0, len(inputs.split), batch):
            sources, labels, images_mask = inputs.batch(start, batch)
            unshifted = reference(state, sources, labels)
            table.put_reference(start, unshifted)
            for first, arguments in blocks(start):
                yield start, first, partial(program, state, sources, labels, unshifted, images_mask, *arguments)

    for start, first, result in _run_concurrently(calls(), inputs.model.num_workers):
        progress(table.put(start, first, result))
    return table.observations()


def _run_concurrently(
    calls: Iterator[tuple[int, int, Callable[[], BlockResult]]], workers: int
) -> Iterator[tuple[int, int, BlockResult]]:
    """Run calls with `workers` threads and at most one call waiting; yield the results in the order of the calls."""
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[tuple[int, int, Future[BlockResult]]] = deque()
        try:
            for start, first, call in calls:
                pending.append((start, first, pool.submit(lambda call=call: jax.block_until_ready(call()))))
                if len(pending) > workers:
                    yield _result(pending.popleft())
            while pending:
                yield _result(pending.popleft())
        finally:
            for _, _, future in pending:
                future.cancel()


def _result(call: tuple[int, int, Future[BlockResult]]) -> tuple[int, int, BlockResult]:
    start, first, future = call
    return start, first, future.result()
