"""The layer probe: every layer of a network under shifts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnshift.errors import MeasurementError
from cnnshift.probe.capture import Capture, Step, capture
from cnnshift.probe.dependence import IMAGES, Dependence, find_dependence
from cnnshift.probe.formulas import eq_t
from cnnshift.probe.layer import Layer, Own, Profile
from cnnshift.probe.layout import find_layout
from cnnshift.probe.program import (
    Changes,
    Derivative,
    LayerErrors,
    OwnErrors,
    derivative_program,
    error_program,
    own_program,
    rest_program,
)
from cnnshift.shifts.seams import stays_at_border
from cnnshift.sweep.device import PRECISION

SUBPIXEL = 1 / 3
"""Of a pixel; a half is blind to layers that see their input twice as fine (Karras et al. 2021 filter at that rate)."""

SMALL_SHIFTS = 8
"""Whole shifts of 1 to this many pixels are always measured."""

DIRECTIONS = ((1, 0), (0, 1), (1, 1))

ROLLS = tuple((half, d) for half in (0, 1) for d in DIRECTIONS)
"""Of a layer's input, by one position and by half of the map."""

MEMORY = 2**30
"""Bytes that the maps of all layers of all images may take, at rest, moved, and in two sums."""


BORDER = 1e-4
"""A deviation below this share of the largest value is no sign of a border."""


def probe_layers(
    model: Callable[[Any], Any],
    images: Float[np.ndarray, "n h w c"],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Layer]:
    """Measure every layer of a network.

    Args:
        model: an NNX module (left in evaluation mode), or a function that JAX can trace.
        images: on the scale 0..1; fewer are used where the maps of all layers would not fit in memory.
        progress: called with the shifts done and their number.

    Raises:
        InputError: the network cannot be traced on these images.
        MeasurementError: a layer gave values that are not finite.
    """
    with jax.default_matmul_precision(PRECISION):
        size = (images.shape[1], images.shape[2])
        few = jnp.asarray(images[:IMAGES])
        seen = capture(model, few)
        steps, state = seen.steps, seen.state
        _check_finite(steps, jax.jit(seen.outputs)(state, few))
        layouts = [find_layout(step.shape, size) for step in steps]
        depends = find_dependence(seen.outputs, layouts, state, few)
        values = sum(math.prod(step.shape) for step in steps)
        batch = jnp.asarray(images[: max(2, MEMORY // (16 * values))])
        # A trace is one of a batch of its size.
        seen = capture(model, batch)
        strides = [None if depend.stride is None else float(depend.stride) for depend in depends]
        rest = rest_program(seen.outputs, layouts)(state, batch)
        shifts = _shifts(depends, size)
        run = error_program(seen.outputs, layouts, strides)
        sums = [Changes(jnp.zeros_like(value), jnp.zeros_like(value)) for value in rest]
        found: list[list[LayerErrors]] = []
        whole = 0
        for done, d in enumerate(shifts):
            masks = [_mask(depend, d) for depend in depends]
            errors, updated = run(state, batch, rest, jnp.asarray(d, batch.dtype), masks, sums)
            found.append(jax.device_get(errors))
            if _is_whole(d):
                # The variance is one over whole shifts, and a fraction more would not be of their kind.
                sums, whole = updated, whole + 1
            progress(done + 1, len(shifts))
        derive = derivative_program(seen.outputs, layouts, strides)
        derivatives = [derive(state, batch, jnp.asarray(d, batch.dtype)) for d in ((1, 0), (0, 1))]
        alone = own_program(seen.sections, layouts, strides)
        given = jax.jit(seen.outputs)(state, batch)
        own = [jax.device_get(alone(state, batch, given, jnp.asarray(d), jnp.asarray(half))) for half, d in ROLLS]
        return _layers(seen, depends, rest, shifts, found, sums, whole, own, jax.device_get(derivatives))


def _shifts(depends: Sequence[Dependence], size: tuple[int, int]) -> list[tuple[float, float]]:
    """A fraction, whole shifts up to 8, and two multiples of every stride: what fits the image, in three directions."""
    strides = {int(depend.stride) for depend in depends if depend.stride is not None and depend.stride >= 1}
    whole = {*range(1, SMALL_SHIFTS + 1), *strides, *(2 * stride for stride in strides)}
    sizes = [SUBPIXEL, *(d for d in sorted(whole) if d < min(size))]
    return [(float(d * dy), float(d * dx)) for d in sizes for dy, dx in DIRECTIONS]


def _mask(depend: Dependence, d: tuple[float, float]) -> Float[Array, "h w"]:
    """Positions to look at apart from the border; none where the shift does not move the map by whole positions."""
    if depend.rows is None or depend.columns is None:
        return jnp.zeros((1, 1))
    inside = depend.inside((int(d[0]), int(d[1]))) if _divides(depend.stride, d) else None
    shape = depend.rows.shape[1], depend.columns.shape[1]
    return jnp.asarray(np.zeros(shape) if inside is None else inside, jnp.float32)


def _is_whole(d: tuple[float, float]) -> bool:
    return all(part.is_integer() for part in d)


def _divides(stride: Fraction | None, d: tuple[float, float]) -> bool:
    if stride is None or not _is_whole(d):
        return False
    return all((Fraction(int(part)) / stride).denominator == 1 for part in d)


def _check_finite(steps: Sequence[Step], rest: Sequence[Array]) -> None:
    for step, value in zip(steps, rest, strict=True):
        if not bool(jnp.isfinite(value).all()):
            raise MeasurementError(f"The layer {step.name} ({step.kind}) gave values that are not finite.")


def _layers(
    seen: Capture,
    depends: Sequence[Dependence],
    rest: Sequence[Array],
    shifts: Sequence[tuple[float, float]],
    found: Sequence[Sequence[LayerErrors]],
    sums: Sequence[Changes],
    whole: int,
    own: Sequence[Sequence[OwnErrors | None]],
    derivatives: Sequence[Sequence[Derivative]],
) -> list[Layer]:
    layers: list[Layer] = []
    stride: Fraction | None = Fraction(1)
    for index, step in enumerate(seen.steps):
        is_map, depend = depends[index].rows is not None, depends[index]
        stride = depend.stride if is_map else stride
        known = not is_map or stride is not None
        errors = [at[index] for at in found]
        alone = [at[index] for at in own]
        along = [one[index] for one in derivatives]
        layers.append(
            Layer(
                step,
                stride,
                is_map,
                _profile(depend, shifts, errors, float(jnp.ptp(rest[index])), known),
                seen.sections[index].through,
                _own(alone),
                _normalized_variance(sums[index], errors, shifts, rest[index], whole),
                float(np.mean([one.square for one in along])) if known else math.nan,
                float(np.mean([one.absolute for one in along])) if known else math.nan,
            )
        )
    return layers


def _own(errors: Sequence[OwnErrors | None]) -> Own | None:
    """Over the directions."""
    if any(at is None for at in errors):
        return None
    known = [(at, half, d) for at, (half, d) in zip(errors, ROLLS, strict=True) if at is not None]
    borders = []
    for at, half, d in known:
        touched = np.asarray(at.positions) > BORDER
        if touched.any() and touched.size > 1:
            far = [size // 2 if half else 1 for size in touched.shape]
            borders.append(stays_at_border(touched, (far[0] * d[0], far[1] * d[1])))
    return Own(
        max(float(at.multiple) for at, _, _ in known),
        None if not borders or None in borders else all(borders),
        float(np.mean([at.between for at, half, _ in known if not half])),
    )


def _profile(
    depend: Dependence,
    shifts: Sequence[tuple[float, float]],
    errors: Sequence[LayerErrors],
    amplitude: float,
    known: bool,
) -> Profile:
    sizes = np.array([max(d) for d in shifts])
    # A vector is all inside: nothing in it is nearer to the border than the rest.
    counts = np.array([depend.rows is None or bool(_mask(depend, d).any()) for d in shifts])
    change = np.array([at.change.mean() for at in errors])
    error = np.array([at.error.mean() for at in errors]) if known else np.full(len(shifts), math.nan)
    inside = np.where(counts, [at.inside.mean() for at in errors], math.nan)
    aligned = np.array([at.aligned.mean() for at in errors])
    square = np.array([at.square for at in errors]) if known else np.full(len(shifts), math.nan)
    each = np.unique(sizes)

    def means(values: Float[np.ndarray, " s"]) -> Float[np.ndarray, " d"]:
        return np.array([_mean(values[sizes == size]) for size in each])

    with np.errstate(divide="ignore"):
        decibels = np.asarray(eq_t(jnp.asarray(means(square)), jnp.asarray(amplitude)))
    return Profile(each, means(change), means(error), means(inside), means(aligned), decibels)


def _mean(values: Float[np.ndarray, " s"]) -> float:
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if finite.size else math.nan


def _normalized_variance(
    sums: Changes, errors: Sequence[LayerErrors], shifts: Sequence[tuple[float, float]], rest: Array, whole: int
) -> float:
    """By the law of total variance, over the whole shifts and the image at rest: m members of which one is unmoved."""
    members = whole + 1
    over_shifts = (sums.square / members - (sums.change / members) ** 2).mean(axis=0).sum()
    at_rest = ((rest - rest.mean(axis=0, keepdims=True)) ** 2).mean(axis=0).sum()
    moved = sum(float(at.total - at.between) for at, d in zip(errors, shifts, strict=True) if _is_whole(d))
    over_images = (moved + float(at_rest)) / members
    return float(over_shifts) / over_images if over_images > 0 else math.nan
