"""Compile the programs of a sweep for one batch size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnnshift.sweep.program import BlockResult, Reference, block_program, reference_program
from cnnshift.sweep.sweep_inputs import SweepInputs


def compile_reference(inputs: SweepInputs, batch: int) -> tuple[Callable[..., Reference], float | None]:
    """Compile the reference program for `batch` images.

    Returns:
        The program, and its floating-point operations per image as the compiler counts them, if it does.
    """
    sources, labels, _ = inputs.batch(0, batch)
    lowered = reference_program(inputs.model.apply, inputs.protocol).lower(inputs.model.state, sources, labels)
    flops = None if inputs.model.host_runtime is not None else (lowered.cost_analysis() or {}).get("flops")
    return lowered.compile(), None if flops is None else flops / batch


def compile_block(
    inputs: SweepInputs, reference: Callable[..., Reference], batch: int, width: int
) -> Callable[..., BlockResult]:
    """Compile the block program for `batch` images and `width` shifts at once."""
    per_image = inputs.shift_set.shifts.ndim == 3
    program = block_program(inputs.model.apply, inputs.protocol, width=width, per_image=per_image)
    return program.lower(*first_block(inputs, reference, batch, width)).compile()


def first_block(inputs: SweepInputs, reference: Callable[..., Reference], batch: int, width: int) -> tuple[Any, ...]:
    """Return the arguments of the first call of the block program."""
    sources, labels, images_mask = inputs.batch(0, batch)
    state = inputs.model.state
    shifts, shifts_mask = inputs.block(0, inputs.block_size(width), 0, batch)
    return state, sources, labels, reference(state, sources, labels), images_mask, shifts, shifts_mask
