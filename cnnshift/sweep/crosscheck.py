"""Whether the shared engine agrees with the model itself, on random pairs of image and shift in every run."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from cnnshift.observations import Observations
from cnnshift.pixel_length import format_shift
from cnnshift.sweep.program import Reference
from cnnshift.sweep.sweep_inputs import SweepInputs

TOLERATED = 1e-4
"""Largest difference of probabilities between the engines that rounding explains."""


def check_against_direct(
    job: SweepInputs, seen: Observations, size: int, reference: Callable[..., Reference]
) -> str | None:
    """Run the model itself on random pairs of image and shift, as many as a batch has: where it disagrees, or None.

    Args:
        job: what was swept, under a protocol that wraps, by whole pixels.
        seen: what the shared engine saw.
        size: images of a batch.
        reference: the compiled program of unshifted images; these are rolled on the host and go through it.
    """
    random = np.random.RandomState(len(job.split) + job.shift_set.count)
    rows = random.randint(len(job.split), size=size)
    columns = random.randint(job.shift_set.count, size=size)
    margin, (height, width) = job.protocol.context, job.split.size
    sources = np.array(job.split.images[rows])
    window = np.s_[margin : margin + height, margin : margin + width]
    for image, d in zip(sources, job.shift_set.shifts[columns], strict=True):
        image[window] = np.roll(image[window], tuple(d), axis=(0, 1))
    direct = reference(job.subject.state, sources, job.split.labels[rows])
    probability = np.asarray(jax.nn.softmax(direct.logits))
    shared = seen.prediction[rows, columns]
    # Two classes that tie but for rounding may change places.
    lead = probability.max(axis=1) - probability[np.arange(size), shared]
    gaps = np.maximum(
        np.abs(np.asarray(direct.label_probability) - seen.label_probability[rows, columns]),
        np.abs(probability[np.arange(size), seen.reference_prediction[rows]] - seen.probability[rows, columns]),
    )
    worst = int(np.argmax(np.maximum(lead, gaps)))
    if max(lead[worst], gaps[worst]) <= TOLERATED:
        return None
    shift = format_shift(job.shift_set.shifts[columns[worst]])
    return (
        f"image {rows[worst]} at shift {shift}: class {direct.prediction[worst]} directly, {shared[worst]} "
        f"shared, probabilities {gaps[worst]:.2g} apart"
    )
