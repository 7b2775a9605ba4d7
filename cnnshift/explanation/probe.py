"""Measure the equivariance errors of every layer of a network."""

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
from cnnshift.explanation.capture import Capture, capture
from cnnshift.explanation.isolated import DIRECTIONS, measure_isolated
from cnnshift.explanation.layout import Layout, find_layout
from cnnshift.explanation.periodic import derivative, shift_maps, to_numpy
from cnnshift.explanation.receptive_field import IMAGES, ReceptiveField, measure_receptive_fields
from cnnshift.results.explanation import LayerRecord, finite
from cnnshift.sweep.device import PRECISION

SUBPIXEL = 1 / 3
"""Sub-pixel shift in pixels. ½ px would hide aliasing at twice the resolution, where the filters of Karras et al. 2021
work."""


def probe_layers(model: Callable[[Any], Any], images: Float[np.ndarray, "n h w c"]) -> list[LayerRecord]:
    """Measure the equivariance errors of every layer of a network, under circular shifts.

    A layer whose values are not finite (such as a masked logarithm) or whose layout is unknown is listed without
    errors.

    Args:
        model: an NNX module (a copy is measured in evaluation mode), or a function that JAX can trace.
        images: images on the scale 0..1. Fewer are used if the feature maps of all layers would not fit in memory.

    Returns:
        The layers in order of computation, with no causes assigned, see `cnnshift.explanation.diagnosis`.

    Raises:
        InputError: the network cannot be traced on these images.
        MeasurementError: the last layer returned values that are not finite.
    """
    with jax.default_matmul_precision(PRECISION):
        few = jnp.asarray(images[:IMAGES])
        small = capture(model, few)
        if not small.steps:
            return []
        steps, size = small.steps, (images.shape[1], images.shape[2])
        layouts = [find_layout(step.shape, size) for step in steps]
        # 1 GiB for the feature maps of all layers: unshifted, shifted, and two sums in float64.
        images = images[: max(2, 2**30 // (24 * sum(math.prod(step.shape) for step in steps)))]
        batch = jnp.asarray(images)
        # A trace is valid for one batch size.
        network = capture(model, batch)
        run = jax.jit(network.outputs)
        unshifted = run(network.state, batch)
        is_finite = [bool(jnp.isfinite(value).all()) for value in unshifted]
        if not is_finite[-1]:
            last = f"{steps[-1].name} ({steps[-1].type})"
            raise MeasurementError(f"The last layer, {last}, returned values that are not finite.")
        sources = [section.source for section in small.sections]
        fields = measure_receptive_fields(small.outputs, layouts, sources, small.state, few)
        strides = [None if field.stride is None else float(field.stride) for field in fields]

        def folded(outputs: Sequence[Array]) -> list[np.ndarray]:
            return [to_numpy(layout.fold(output)) for layout, output in zip(layouts, outputs, strict=True)]

        accumulators = [
            Accumulator(output, field, measured=layout.known and each)
            for output, field, layout, each in zip(folded(unshifted), fields, layouts, is_finite, strict=True)
        ]
        for d in _shifts(fields, size):
            moved = run(network.state, jnp.asarray(shift_maps(images, d), batch.dtype))
            for accumulator, output in zip(accumulators, folded(moved), strict=True):
                accumulator.add(d, output)
        isolated = measure_isolated(network.sections, layouts, strides, network.state, batch, unshifted, fields)
        derivatives = _lie_derivatives(network, layouts, strides, images)
    records: list[LayerRecord] = []
    stride, period = Fraction(1), Fraction(1)
    for step, section, accumulator, errors, lie in zip(
        steps, network.sections, accumulators, isolated, derivatives, strict=True
    ):
        stride = accumulator.field.stride if accumulator.is_map else stride
        period = _common_multiple(period, stride or period)
        curves = accumulator.by_radius()
        isolated_error, isolated_off_grid_error, variance, lie_square, lie_abs = finite(
            [errors.error, errors.off_grid_error, accumulator.normalized_variance(), *lie]
        )
        records.append(
            LayerRecord(
                name=step.name,
                type=step.type,
                location=step.location,
                shape=list(step.shape),
                stride=None if stride is None else str(stride),
                period=str(period),
                is_map=accumulator.is_map,
                source=section.source,
                through=list(section.through),
                causes=[],
                isolated_error=isolated_error,
                isolated_at_border=errors.at_border,
                isolated_off_grid_error=isolated_off_grid_error,
                on_grid_error=curves.largest(curves.equivariance_error, period, on_grid=True),
                interior_error=curves.largest(curves.interior_error, period, on_grid=True),
                off_grid_error=curves.largest(curves.equivariance_error, period, on_grid=False),
                subpixel_error=curves.equivariance_error[0],
                by_radius=curves,
                normalized_variance=variance,
                lie_derivative=lie_square,
                lie_derivative_abs=lie_abs,
            )
        )
    return records


def _lie_derivatives(
    network: Capture, layouts: Sequence[Layout], strides: Sequence[float | None], images: Float[np.ndarray, "n h w c"]
) -> list[tuple[float, float]]:
    """Return the mean square and the mean absolute value of every layer's Lie derivative.

    L φ = d/dt T_{−t/s} φ(T_t x) at t = 0 is J_φ · d/dt T_t x − (1/s) · d/dt T_t φ(x). The first term is computed by
    forward-mode differentiation, the derivatives of the shifts by Fourier. A vector is not shifted back. Both values
    are means over the vertical and the horizontal direction, per pixel (squared); NaN for a map of unknown stride.

    Source: Gruver et al. 2023, section 3, equation 4.
    """

    @jax.jit
    def push(state: Any, images: Array, tangent: Array) -> tuple[list[Array], list[Array]]:
        return jax.jvp(lambda moved: network.outputs(state, moved), (images,), (tangent,))

    values: list[list[tuple[float, float]]] = [[] for _ in layouts]
    for direction in ((1.0, 0.0), (0.0, 1.0)):
        batch = jnp.asarray(images)
        outputs, tangents = push(network.state, batch, jnp.asarray(derivative(images, direction), batch.dtype))
        for index, (layout, stride) in enumerate(zip(layouts, strides, strict=True)):
            lie = to_numpy(layout.fold(tangents[index])).astype(np.float64)
            if layout.size is not None:
                back = derivative(to_numpy(layout.fold(outputs[index])).astype(np.float64), direction)
                lie = lie - back / (math.nan if stride is None else stride)
            values[index].append((float((lie**2).mean()), float(np.abs(lie).mean())))
    return [(float(np.mean([a for a, _ in each])), float(np.mean([b for _, b in each]))) for each in values]


def _shifts(fields: Sequence[ReceptiveField], size: tuple[int, int]) -> list[tuple[float, float]]:
    """Return ⅓ px, 1 to 8 px, and one and two times every stride and their least common multiple.

    In three directions, as far as they are smaller than the image.
    """
    strides = {int(field.stride) for field in fields if field.stride is not None and field.stride >= 1}
    strides.add(math.lcm(*strides))
    whole = {*range(1, 9), *strides, *(2 * stride for stride in strides)}
    sizes = [SUBPIXEL, *(d for d in sorted(whole) if d < min(size))]
    return [(float(d * dy), float(d * dx)) for d in sizes for dy, dx in DIRECTIONS]


def _common_multiple(a: Fraction, b: Fraction) -> Fraction:
    # The strides of parallel branches need not divide each other.
    return Fraction(math.lcm(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)
