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
from cnnshift.explanation.accumulator import Accumulator
from cnnshift.explanation.capture import Capture, Step, capture
from cnnshift.explanation.dependence import IMAGES, Dependence, find_dependence
from cnnshift.explanation.isolated import DIRECTIONS, measure_isolated
from cnnshift.explanation.layer_errors import Layer
from cnnshift.explanation.layout import Layout, find_layout
from cnnshift.explanation.periodic import derivative, host, shift_maps
from cnnshift.sweep.device import PRECISION

SUBPIXEL = 1 / 3
"""Of a pixel; a half is blind to layers that see their input twice as fine (Karras et al. 2021 filter at that rate)."""

SMALL_SHIFTS = 8
"""Whole shifts of 1 to this many pixels are always measured."""

MEMORY = 2**30
"""Bytes that the maps of all layers of all images may take."""

_BYTES = 4 + 4 + 8 + 8
"""Of every value: at rest, moved, and in two sums."""


def probe_layers(
    model: Callable[[Any], Any],
    images: Float[np.ndarray, "n h w c"],
) -> list[Layer]:
    """Measure every layer of a network.

    Layers whose values are not finite, as a masked logarithm, and those whose positions cannot be told are in the list
    with nothing measured.

    Args:
        model: an NNX module (left in evaluation mode), or a function that JAX can trace.
        images: on the scale 0..1; fewer are used where the maps of all layers would not fit in memory.

    Raises:
        InputError: the network cannot be traced on these images.
        MeasurementError: the last layer gave values that are not finite.
    """
    with jax.default_matmul_precision(PRECISION):
        few = jnp.asarray(images[:IMAGES])
        seen = capture(model, few)
        if not seen.steps:
            return []
        steps, values = seen.steps, sum(math.prod(step.shape) for step in seen.steps)
        layouts = [find_layout(step.shape, (images.shape[1], images.shape[2])) for step in steps]
        images = images[: max(2, MEMORY // (_BYTES * values))]
        batch = jnp.asarray(images)
        # A trace is one of a batch of its size.
        every = capture(model, batch)
        run = jax.jit(every.outputs)
        given = run(every.state, batch)
        _check_finite(steps[-1], given[-1])
        usable = [
            layout.known and bool(jnp.isfinite(value).all()) for layout, value in zip(layouts, given, strict=True)
        ]
        depends = find_dependence(seen.outputs, layouts, [section.source for section in seen.sections], seen.state, few)
        strides = [None if depend.stride is None else float(depend.stride) for depend in depends]

        def folded(outputs: Sequence[Array]) -> list[np.ndarray]:
            return [host(layout.fold(output)) for layout, output in zip(layouts, outputs, strict=True)]

        tallies = [
            Accumulator(rest, depend, measured=each)
            for rest, depend, each in zip(folded(given), depends, usable, strict=True)
        ]
        shifts = _shifts(depends, (images.shape[1], images.shape[2]))
        for d in shifts:
            moved = run(every.state, jnp.asarray(shift_maps(images, d), batch.dtype))
            for tally, now in zip(tallies, folded(moved), strict=True):
                tally.add(d, now)
        own = measure_isolated(every.sections, layouts, strides, every.state, batch, given, depends)
        derivatives = _derivatives(every, layouts, strides, images)
    layers: list[Layer] = []
    stride, period = Fraction(1), Fraction(1)
    for index, (step, tally) in enumerate(zip(steps, tallies, strict=True)):
        stride = tally.depend.stride if tally.is_map else stride
        period = _common_multiple(period, stride or period)
        squares = [each[index] for each in derivatives]
        layers.append(
            Layer(
                step,
                stride,
                period,
                tally.is_map,
                tally.profile(),
                every.sections[index].source,
                every.sections[index].through,
                own[index],
                tally.normalized_variance(),
                float(np.mean([square for square, _ in squares])),
                float(np.mean([size for _, size in squares])),
            )
        )
    return layers


def _derivatives(
    seen: Capture, layouts: Sequence[Layout], strides: Sequence[float | None], images: Float[np.ndarray, "n h w c"]
) -> list[list[tuple[float, float]]]:
    """Mean square and mean size of every layer's Lie derivative, down and to the right.

    L φ = d/dt T_{−t/s} φ(T_t x) at t = 0 is J_φ · d/dt T_t x − (1/s) · d/dt T_t φ(x), the first by forward-mode
    differentiation, both slopes by Fourier; a layer without positions is not shifted back. Its mean square is the
    equivariance error of Gruver et al. 2023 (section 3, equation 4), in units of the layer's values squared, per pixel
    squared. NaN for a map whose stride is unknown.
    """

    @jax.jit
    def push(state: Any, images: Array, tangent: Array) -> tuple[list[Array], list[Array]]:
        return jax.jvp(lambda moved: seen.outputs(state, moved), (images,), (tangent,))

    found = []
    for direction in ((1.0, 0.0), (0.0, 1.0)):
        batch = jnp.asarray(images)
        outputs, tangents = push(seen.state, batch, jnp.asarray(derivative(images, direction), batch.dtype))
        along = []
        for layout, stride, output, tangent in zip(layouts, strides, outputs, tangents, strict=True):
            lie = host(layout.fold(tangent)).astype(np.float64)
            if layout.size is not None:
                back = derivative(host(layout.fold(output)).astype(np.float64), direction)
                lie = lie - back / (math.nan if stride is None else stride)
            along.append((float((lie**2).mean()), float(np.abs(lie).mean())))
        found.append(along)
    return found


def _shifts(depends: Sequence[Dependence], size: tuple[int, int]) -> list[tuple[float, float]]:
    """A fraction, whole shifts up to 8, and two multiples of every stride and of what is one of all of them.

    What fits the image, in three directions.
    """
    strides = {int(depend.stride) for depend in depends if depend.stride is not None and depend.stride >= 1}
    strides.add(math.lcm(*strides))
    whole = {*range(1, SMALL_SHIFTS + 1), *strides, *(2 * stride for stride in strides)}
    sizes = [SUBPIXEL, *(d for d in sorted(whole) if d < min(size))]
    return [(float(d * dy), float(d * dx)) for d in sizes for dy, dx in DIRECTIONS]


def _common_multiple(a: Fraction, b: Fraction) -> Fraction:
    """The least; strides of parallel branches need not divide each other."""
    return Fraction(math.lcm(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _check_finite(step: Step, value: Array) -> None:
    if not bool(jnp.isfinite(value).all()):
        raise MeasurementError(f"The layer {step.name} ({step.kind}), the last one, gave values that are not finite.")
