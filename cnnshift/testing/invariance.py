"""`assert_shift_invariant`: assert that the predicted class does not change when the image shifts."""

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
    """Assert that a classifier predicts the same class for shifted and unshifted images.

    The asserted metric is `reference_consistency`: the mean over images x and shifts d ≠ 0 of
    [argmax f(T_d x) = argmax f(x)] must be at least `min_consistency`. Labels are not needed.

    Args:
        model: an NNX module (a copy runs in evaluation mode), or a function that JAX can trace,
            images [n h w c] on the scale 0..1 → logits [n k].
        images: [n h w c], uint8, or floats from 0 to 1.
        protocol: shift protocol: `circular`, `zero`, `crop`, `reflect` or `replicate`; `fourier` and `bilinear` also
            shift by fractions of a pixel.
        shifts: shift set: `grid`, `full`, `axis`, `diagonal`, `random:K`.
        max_shift: largest |d|∞ in pixels. The default covers every phase of total strides up to 9.
        step: spacing of the shifts in pixels; under `fourier` and `bilinear` also a fraction, such as "1/3" or 1 / 3.
            Default: that of the protocol, 1 or 1/3.
        min_consistency: required consistency, from 0 to 1.
        background: value of an empty pixel, one for all channels or one per channel, for `zero`.
        context: pixels on each side of the images that are outside the model's input, for `crop`.
        batch_size: images per compiled step.

    Raises:
        AssertionError: the consistency is too low. The message states the image that changes class most often (the
            first among equals), and the smallest shift that changes it.
        InputError: an argument is not allowed, or the model has fewer than two classes.
        MeasurementError: the model returned values that are not finite. This is not an `AssertionError`, so that
            `pytest.raises(AssertionError)` does not accept a broken model.

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
        raise InputError("images have 1×1 pixels, which no shift changes; allowed: at least 2 pixels.")
    mover, shift_set = bind_protocol(
        PROTOCOLS.load(protocol),
        split,
        shifts=shifts,
        max_shift=_pixels("max_shift", max_shift),
        step=None if step is None else _pixels("step", step),
    )
    pure_model = as_pure_model(model)
    shape = output_shape(pure_model, (len(split), *split.size, split.channels), "model")
    if len(shape) != 2 or shape[1] < 2:
        raise InputError(
            f"model returns an array of shape {shape} for {len(split)} images; "
            f"allowed: ({len(split)}, k), a logit for each of k ≥ 2 classes."
        )
    observations = run_sweep(pure_model, split, mover, shift_set, batch_size=batch_size).observations
    changes = observations.prediction != observations.reference_prediction[:, None]
    # A ratio of integers: the mean of per-image fractions could miss equality by rounding.
    consistency = int((~changes).sum()) / changes.size
    if consistency < min_consistency:
        raise AssertionError(
            # Rounded down, so that it never equals the requirement.
            f"model is not shift invariant [{protocol}, |d|≤{shift_set.largest}]: consistency "
            f"{math.floor(consistency * 1e4) / 1e4:.4f} over {changes.shape[0]} images × {changes.shape[1]} shifts, "
            f"required {min_consistency}. {_describe_changes(observations, shift_set, changes)}"
        )


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


def _describe_changes(observations: Observations, shift_set: ShiftSet, changes: np.ndarray) -> str:
    images, shifts = changes.shape
    count = changes.sum(axis=1)
    worst = int(count.argmax())
    numerators = shift_set.numerators[worst] if observations.per_image_shifts else shift_set.numerators
    order = nearest_first(numerators)
    column = int(order[changes[worst][order].argmax()])
    before, after = int(observations.reference_prediction[worst]), int(observations.prediction[worst, column])
    return (
        f"{count.sum():,} of {changes.size:,} predictions change, in {(count > 0).sum()} of {images} images. "
        f"Image {worst} changes most often ({count[worst]} of {shifts} shifts); the smallest of these shifts, "
        f"{format_shift(numerators[column] / shift_set.denominator)}, changes class {before} → {after}, "
        f"P({before}) {observations.reference_probability[worst]:.4f} → "
        f"{observations.probability[worst, column]:.4f}."
    )
