"""The compiled programs of a probe: all layers of a network at one shift, and its derivative by a shift."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cnnshift.probe.capture import Outputs, Section
from cnnshift.probe.formulas import equivariance_error
from cnnshift.probe.layout import Layout
from cnnshift.shifts.fourier import fourier_shift


class LayerErrors(NamedTuple):
    """Of one layer at one shift d; g = φ(T_d x), h = T_d φ(x).

    Attributes:
        change: ‖g − φ(x)‖ / ‖φ(x)‖, per image: the error of invariance.
        error: `equivariance_error`, per image.
        inside: the same over the positions of a mask, 0 where there are none.
        aligned: the same with h the best of all whole shifts of the map; NaN for a layer without positions.
        square: mean of (g − h)² over images, positions and channels.
        total: Σ over positions and channels of the mean over images of (g − μ)², μ the mean image at rest.
        between: Σ of (mean over images of g − μ)².
    """

    change: Float[Array, " n"]
    error: Float[Array, " n"]
    inside: Float[Array, " n"]
    aligned: Float[Array, " n"]
    square: Float[Array, ""]
    total: Float[Array, ""]
    between: Float[Array, ""]


class Changes(NamedTuple):
    """Sums over shifts of g − φ(x) and of its square, for the variance over shifts."""

    change: Array
    square: Array


class Derivative(NamedTuple):
    """Of one layer: mean square and mean size of the Lie derivative over images, positions and channels."""

    square: Float[Array, ""]
    absolute: Float[Array, ""]


def rest_program(outputs: Outputs, layouts: Sequence[Layout]) -> Callable[..., list[Array]]:
    """(state, images) → every layer's maps or vectors at rest."""

    def rest(state: Any, images: Float[Array, "n h w c"]) -> list[Array]:
        return [layout.fold(output) for layout, output in zip(layouts, outputs(state, images), strict=True)]

    return jax.jit(rest)


def error_program(
    outputs: Outputs, layouts: Sequence[Layout], strides: Sequence[float | None]
) -> Callable[..., tuple[list[LayerErrors], list[Changes]]]:
    """(state, images, rest, d, masks, sums so far) → errors of every layer at the shift d, and the sums.

    d is traced, in pixels, whole or not: whole shifts of images, and of maps where the stride divides d, are rolls; all
    others are made by the Fourier transform. A layer without positions must not move at all. Masks are [h w], one for
    each layer.
    """
    run = rest_program(outputs, layouts)

    def errors(
        state: Any,
        images: Float[Array, "n h w c"],
        rest: list[Array],
        d: Float[Array, 2],
        masks: list[Array],
        sums: list[Changes],
    ) -> tuple[list[LayerErrors], list[Changes]]:
        moved = run(state, _shift(images, d))
        found, added = [], []
        for now, before, stride, mask, total in zip(moved, rest, strides, masks, sums, strict=True):
            expected = before if stride is None or before.ndim == 2 else _shift(before, d / stride)
            mean = before.mean(axis=0, keepdims=True)
            centred = now - mean
            everywhere = equivariance_error(now, expected)
            found.append(
                LayerErrors(
                    equivariance_error(now, before),
                    everywhere,
                    everywhere if before.ndim == 2 else equivariance_error(now, expected, mask),
                    jnp.full(len(now), jnp.nan) if before.ndim == 2 else equivariance_error(now, _align(before, now)),
                    ((now - expected) ** 2).mean(),
                    (centred**2).mean(axis=0).sum(),
                    (centred.mean(axis=0) ** 2).sum(),
                )
            )
            change = now - before
            added.append(Changes(total.change + change, total.square + change**2))
        return found, added

    return jax.jit(errors)


def _shift(maps: Float[Array, "n h w c"], d: Float[Array, 2]) -> Float[Array, "n h w c"]:
    whole = jnp.round(d)
    rolled = jnp.roll(maps, whole.astype(jnp.int32), axis=(1, 2))
    # A stride of 3 makes thirds, which no float is.
    return jnp.where((jnp.abs(d - whole) < 1e-4).all(), rolled, fourier_shift(maps, d))


def _align(maps: Float[Array, "n h w c"], to: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Every map rolled so that its correlation with another one is largest, which is where they are nearest."""
    spectra = jnp.fft.rfft2(to, axes=(1, 2)) * jnp.conj(jnp.fft.rfft2(maps, axes=(1, 2)))
    size = maps.shape[1], maps.shape[2]
    correlation = jnp.fft.irfft2(spectra.sum(axis=-1), s=size, axes=(1, 2))
    best = correlation.reshape(len(maps), -1).argmax(axis=1)
    return jax.vmap(lambda map_, q: jnp.roll(map_, (q // size[1], q % size[1]), axis=(0, 1)))(maps, best)


class OwnErrors(NamedTuple):
    """A layer on its own, given what the layer before it gives at rest, rolled by whole positions.

    Attributes:
        multiple: largest `equivariance_error` of an image when the roll is a multiple of the layer's own stride.
        positions: largest deviation at every position then, relative to the largest value; (1, 1) without positions.
        between: mean error under a roll by one position against the best whole roll of the output; 0 at own stride 1.
    """

    multiple: Float[Array, ""]
    positions: Float[Array, "h w"]
    between: Float[Array, ""]


def own_program(
    sections: Sequence[Section], layouts: Sequence[Layout], strides: Sequence[float | None]
) -> Callable[..., list[OwnErrors | None]]:
    """(state, images, every layer's output at rest, direction, how far) → the own errors of every layer.

    How far is 0 for one position, 1 for half of the map, where the seam of what was rolled is far from the border. None
    for a layer after one without positions, and where a stride is unknown or smaller than that before it.
    """

    def own(
        state: Any,
        images: Float[Array, "n h w c"],
        rest: list[Array],
        direction: Int[Array, " 2"],
        half: Int[Array, ""],
    ) -> list[OwnErrors | None]:
        image = Layout((images.shape[1], images.shape[2]))
        # A section's source counts from -1.
        sources = [(image, 1.0, images), *zip(layouts, strides, rest, strict=True)]
        return [
            _own_errors(section, sources[section.source + 1], sources[index + 1], state, direction, half)
            for index, section in enumerate(sections)
        ]

    return jax.jit(own)


Given = tuple[Layout, float | None, Array]
"""A layer's layout, its stride and what it gives at rest."""


def _own_errors(
    section: Section, source: Given, target: Given, state: Any, direction: Int[Array, " 2"], half: Int[Array, ""]
) -> OwnErrors | None:
    (before, stride_before, given), (layout, stride, output) = source, target
    if before.size is None:
        return None
    step = 1.0
    if layout.size is not None:
        if stride is None or stride_before is None or not (stride / stride_before).is_integer():
            return None
        step = stride / stride_before

    def moved(q: Int[Array, " 2"]) -> Array:
        return layout.fold(section.run(state, before.roll(given, q)))

    at_rest = layout.fold(output)
    q = jnp.where(half, jnp.array(layout.size or before.size) // 2, 1) * direction
    now, expected = moved(int(step) * q), layout.fold(layout.roll(output, q))
    wrong = jnp.abs(now - expected) / jnp.maximum(jnp.abs(expected).max(), 1e-30)
    positions = wrong.max(axis=(0, 3)) if layout.size is not None else wrong.max()[None, None]
    error = equivariance_error(now, expected).max()
    if step == 1:
        return OwnErrors(error, positions, jnp.zeros(()))
    between = moved(direction)
    return OwnErrors(error, positions, equivariance_error(between, _align(at_rest, between)).mean())


def derivative_program(
    outputs: Outputs, layouts: Sequence[Layout], strides: Sequence[float | None]
) -> Callable[..., list[Derivative]]:
    """(state, images, direction) → the Lie derivative of every layer along a direction (dy, dx).

    L φ = d/dt T_{−t} φ(T_t x) at t = 0, by forward-mode differentiation; T shifts by the Fourier transform, on maps by
    t / stride, and a layer without positions is not shifted back. Its mean square is the equivariance error of
    Gruver et al. 2023 (section 3, equation 4), in units of the layer's values squared, per pixel squared.
    """
    run = rest_program(outputs, layouts)

    def derivative(state: Any, images: Float[Array, "n h w c"], direction: Float[Array, 2]) -> list[Derivative]:
        def back(t: Float[Array, ""]) -> list[Array]:
            moved = run(state, fourier_shift(images, t * direction))
            return [
                map_ if stride is None or map_.ndim == 2 else fourier_shift(map_, -t * direction / stride)
                for map_, stride in zip(moved, strides, strict=True)
            ]

        start = jnp.zeros((), images.dtype)
        _, tangents = jax.jvp(back, (start,), (jnp.ones_like(start),))
        return [Derivative((tangent**2).mean(), jnp.abs(tangent).mean()) for tangent in tangents]

    return jax.jit(derivative)
