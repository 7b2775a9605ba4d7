"""Compare the shared engine with direct forward passes on random pairs of image and shift, in every shared sweep."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from cnnshift.observations import Observations
from cnnshift.pixel_length import format_shift
from cnnshift.sweep.program import Reference
from cnnshift.sweep.sweep_inputs import SweepInputs

TOLERANCE = 1e-4
"""Largest difference of probabilities between the engines that rounding explains."""


def find_disagreement(
    inputs: SweepInputs, observations: Observations, batch: int, reference: Callable[..., Reference]
) -> str | None:
    """Compare observations with the model itself on as many random pairs as a batch has images.

    Args:
        inputs: inputs of the sweep; its protocol wraps, its shifts are whole pixels.
        observations: those of the shared engine.
        batch: number of images of a batch.
        reference: compiled program of unshifted images, applied to images rolled on the host.

    Returns:
        A description of the largest disagreement beyond `TOLERANCE`, or None.
    """
    split, shift_set = inputs.split, inputs.shift_set
    random = np.random.RandomState(len(split) + shift_set.count)
    rows = random.randint(len(split), size=batch)
    columns = random.randint(shift_set.count, size=batch)
    margin, (height, width) = inputs.protocol.context, split.size
    sources = np.array(split.images[rows])
    window = np.s_[margin : margin + height, margin : margin + width]
    for image, d in zip(sources, shift_set.shifts[columns], strict=True):
        image[window] = np.roll(image[window], tuple(d), axis=(0, 1))
    direct = reference(inputs.model.state, sources, split.labels[rows])
    probability = np.asarray(jax.nn.softmax(direct.logits))
    shared = observations.prediction[rows, columns]
    # The predictions of two classes that tie up to rounding may be swapped.
    lead = probability.max(axis=1) - probability[np.arange(batch), shared]
    gaps = np.maximum(
        np.abs(np.asarray(direct.label_probability) - observations.label_probability[rows, columns]),
        np.abs(
            probability[np.arange(batch), observations.reference_prediction[rows]]
            - observations.probability[rows, columns]
        ),
    )
    worst = int(np.argmax(np.maximum(lead, gaps)))
    if max(lead[worst], gaps[worst]) <= TOLERANCE:
        return None
    shift = format_shift(shift_set.shifts[columns[worst]])
    return (
        f"image {rows[worst]} at shift {shift}: class {direct.prediction[worst]} directly, {shared[worst]} shared, "
        f"probabilities differ by {gaps[worst]:.2g}"
    )
