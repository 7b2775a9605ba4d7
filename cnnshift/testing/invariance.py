"""`assert_shift_invariant`: the class that a model gives does not change when its image moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from cnnshift.catalog import PROTOCOLS
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.observations import Observations
from cnnshift.pixel_length import format_shift, parse_length
from cnnshift.shifts.sets import ShiftSet
from cnnshift.sweep.bind_protocol import bind_protocol
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.testing.arguments import as_images, check_batch_size, nearest_first, output_shape


def assert_shift_invariant(
    model: Callable[[Any], Any],
    images: Any,
    *,
    protocol: str = "circular",
    shifts: str = "grid",
    max_shift: int | float | str | Fraction = 4,
    step: int | float | str | Fraction | None = None,
    min_consistency: float | int = 1.0,
    background: float | int | Sequence[float] = 0.0,
    context: int = 0,
    batch_size: int | None = None,
) -> None:
    """Assert that a classifier gives a moved image the class that it gives the image at rest.

    What is asserted is the metric `reference_consistency`, the mean over images x and shifts d ≠ 0 of
    [argmax f(T_d x) = argmax f(x)] ≥ `min_consistency`. Equality passes. No labels are needed: a model that is wrong
    everywhere in the same way is invariant.

    Args:
        model: an NNX module (left in evaluation mode), or any function that JAX can trace,
            images [n h w c] on the scale 0..1 → logits [n k].
        images: [n h w c], uint8, or floats from 0 to 1.
        protocol: what enters at the border: `circular`, `zero`, `crop`, `reflect`, `replicate`; or how fractions of a
            pixel come about: `fourier`, `bilinear`.
        shifts: shift set: `grid`, `full`, `axis`, `diagonal`, `random:K`.
        max_shift: largest |d|∞ in pixels. The default, −4 … 4, meets every phase of total strides up to 9.
        step: spacing of the shifts in pixels; under `fourier` and `bilinear` also a fraction, as "1/3" or 1 / 3. By
            default that of the protocol, as for the benchmark: 1, or 1/3.
        min_consistency: what is required, from 0 to 1.
        background: value of an empty pixel, one for all channels or one per channel; `zero` moves it in.
        context: pixels of the images around the window that the model sees, on each side; `crop` needs them.
        batch_size: images per compiled step.

    Raises:
        AssertionError: the consistency is lower. The message names the image that changes class most often (the first
            of equals), and the smallest shift that changes it.
        InputError: an argument that is not allowed, or a model of fewer than two classes, which cannot change its mind.
        MeasurementError: the model gave values that are not finite. This is no `AssertionError`: whoever expects
            a model to fail must not be content with one that is broken.

    Example:
        >>> import numpy as np
        >>> import cnnshift
        >>> from cnnshift.models.base import build
        >>> from cnnshift.spec import ModelSpec
        >>> images = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
        >>> net = build(ModelSpec.parse("cnn:depth=1,padding=circular,head=gap,pool=aps"), (8, 8, 1), 10, seed=0)
        >>> cnnshift.assert_shift_invariant(net, images, max_shift=2)
    """
    __tracebackhide__ = True
    if not 0 <= min_consistency <= 1:
        raise InputError(f"min_consistency is {min_consistency}; allowed: from 0 to 1.")
    check_batch_size(batch_size)
    split = _split(images, background, context)
    if split.size == (1, 1):
        raise InputError("images are seen as 1×1 pixels, which no shift changes; allowed: at least 2 pixels.")
    moving, shift_set = bind_protocol(
        PROTOCOLS.load(protocol),
        split,
        shifts=shifts,
        max_shift=_pixels("max_shift", max_shift),
        step=None if step is None else _pixels("step", step),
    )
    subject = as_pure_model(model)
    shape = output_shape(subject, (len(split), *split.size, split.channels), "model")
    if len(shape) != 2 or shape[1] < 2:
        raise InputError(
            f"model returns an array of shape {shape} for {len(split)} images; "
            f"allowed: ({len(split)}, k), a logit for each of k ≥ 2 classes."
        )
    seen = run_sweep(subject, split, moving, shift_set, batch_size=batch_size).observations
    changes = seen.prediction != seen.reference_prediction[:, None]
    # One division of whole numbers: the mean of per-image fractions could miss an equality by its rounding.
    consistency = int((~changes).sum()) / changes.size
    if consistency < min_consistency:
        title = f"{protocol}, |d|≤{shift_set.largest}"
        raise AssertionError(_message(seen, shift_set, changes, consistency, min_consistency, title))


def _pixels(argument: str, value: Any) -> Fraction:
    try:
        return parse_length(value)
    except ValueError as problem:
        raise InputError(f"{argument} is {value}; {problem}.") from None


def _split(images: Any, background: float | int | Sequence[float], context: int) -> Split:
    pixels = as_images(images)
    channels = pixels.shape[-1]
    empty = np.asarray(background, float)
    return Split(
        images=pixels,
        labels=np.zeros(len(pixels), np.int32),
        classes=("any",),
        background=tuple(np.broadcast_to(empty, (channels,)).tolist() if empty.ndim == 0 else empty.ravel().tolist()),
        context=context,
    )


def _message(
    seen: Observations,
    shift_set: ShiftSet,
    changes: np.ndarray,
    consistency: float,
    required: float | int,
    title: str,
) -> str:
    count, per_image = changes.shape
    often = changes.sum(axis=1)
    worst = int(often.argmax())
    units = shift_set.numerators[worst] if seen.per_image_shifts else shift_set.numerators
    order = nearest_first(units)
    column = int(order[changes[worst][order].argmax()])
    before, after = int(seen.reference_prediction[worst]), int(seen.prediction[worst, column])
    return (
        # Rounded down, so that it never looks like what was required.
        f"not shift invariant [{title}]: consistency {math.floor(consistency * 1e4) / 1e4:.4f} "
        f"over {count} images × {per_image} shifts, required {required}; "
        f"{often.sum():,} of {changes.size:,} predictions change, in {(often > 0).sum()} images; "
        f"worst image {worst} ({often[worst]} of {per_image} shifts), "
        f"its smallest shift {format_shift(units[column] / shift_set.denominator)}: class {before} → {after}, "
        f"P({before}) {seen.reference_probability[worst]:.4f} → {seen.probability[worst, column]:.4f}"
    )
