"""The programs of a job, compiled for a batch of its images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnnshift.sweep.program import BlockResult, Reference, block_program, reference_program
from cnnshift.sweep.sweep_inputs import SweepInputs


def compile_reference(job: SweepInputs, batch: int) -> tuple[Callable[..., Reference], float | None]:
    """The program of `batch` unshifted images, and its floating-point operations for each of them, if it tells."""
    sources, labels, _ = job.batch(0, batch)
    lowered = reference_program(job.subject.apply, job.protocol).lower(job.subject.state, sources, labels)
    flops = None if job.subject.outside is not None else (lowered.cost_analysis() or {}).get("flops")
    return lowered.compile(), None if flops is None else flops / batch


def compile_block(
    job: SweepInputs, reference: Callable[..., Reference], batch: int, width: int
) -> Callable[..., BlockResult]:
    """The program of a block of shifts of `batch` images, `width` shifts at once."""
    per_image = job.shift_set.shifts.ndim == 3
    program = block_program(job.subject.apply, job.protocol, width=width, per_image=per_image)
    return program.lower(*first_block(job, reference, batch, width)).compile()


def first_block(job: SweepInputs, reference: Callable[..., Reference], batch: int, width: int) -> tuple[Any, ...]:
    """Arguments of the first call of the block program."""
    sources, labels, images_mask = job.batch(0, batch)
    seen = reference(job.subject.state, sources, labels)
    return (job.subject.state, sources, labels, seen, images_mask, *job.block(0, job.block_size(width), 0, batch))
