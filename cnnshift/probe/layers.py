"""The layer probe: every layer of a network under shifts, against an exactly equivariant control."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.errors import MeasurementError
from cnnshift.models.layers.convolution import Convolution
from cnnshift.probe.capture import Step, capture
from cnnshift.probe.dependence import IMAGES, Dependence, find_dependence
from cnnshift.probe.formulas import eq_t
from cnnshift.probe.layout import find_layout
from cnnshift.probe.program import Changes, Derivative, LayerErrors, derivative_program, error_program, rest_program
from cnnshift.sweep.device import PRECISION

SUBPIXEL = 1 / 3
"""Of a pixel; a half is blind to layers that see their input twice as fine (Karras et al. 2021 filter at that rate)."""

SMALL_SHIFTS = 8
"""Whole shifts of 1 to this many pixels are always measured."""

DIRECTIONS = ((1, 0), (0, 1), (1, 1))

MEMORY = 2**30
"""Bytes that the maps of all layers of all images may take, at rest, moved, and in two sums."""

MARGIN = 10
"""An error is that of an exact layer up to so many times the floor."""

LEAST = 1e-5
"""And in any case up to this: deep networks round more often than the control."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A layer's errors by the size of the shift, means over images and directions.

    Attributes:
        size: |d|∞ in pixels, ascending.
        error: `equivariance_error` over all positions.
        inside: the same over the positions that the border cannot reach; NaN where there are none, or where the
            stride does not divide the shift.
        aligned: the same over all positions against the whole shift of the map that fits best, image by image: 0 where
            an adaptive choice lets a map jump by whole positions. NaN for a layer without positions.
        decibels: `eq_t`.
    """

    size: Float[np.ndarray, " d"]
    error: Float[np.ndarray, " d"]
    inside: Float[np.ndarray, " d"]
    aligned: Float[np.ndarray, " d"]
    decibels: Float[np.ndarray, " d"]


@dataclass(frozen=True, slots=True)
class Layer:
    """What the probe found about one layer.

    Attributes:
        step: which one it is.
        stride: cumulative, in pixels; that of the last map before it for a layer without positions; None where it
            cannot be told.
        is_map: whether it has positions.
        profile: errors by size of the shift.
        normalized_variance: variance over whole shifts relative to that over images (Quiroga et al. 2021), of the
            layer's own values, summed over positions and channels; NaN where images do not differ.
        lie_derivative: mean square, see `derivative_program`; NaN for a map whose stride is unknown.
        lie_derivative_abs: mean size.
    """

    step: Step
    stride: Fraction | None
    is_map: bool
    profile: Profile
    normalized_variance: float
    lie_derivative: float
    lie_derivative_abs: float


@dataclass(frozen=True, slots=True)
class Floor:
    """What an exactly equivariant network gives here: rounding, for whole shifts and for those by a fraction."""

    whole: float
    subpixel: float

    @property
    def whole_tolerance(self) -> float:
        """Largest error at a whole shift that counts as none."""
        return max(MARGIN * self.whole, LEAST)

    @property
    def subpixel_tolerance(self) -> float:
        """The same for fractions of a pixel."""
        return max(MARGIN * self.subpixel, LEAST)


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
        steps, outputs, state = capture(model, few)
        layouts = [find_layout(step.shape, size) for step in steps]
        depends = find_dependence(outputs, layouts, state, few)
        values = sum(math.prod(step.shape) for step in steps)
        batch = jnp.asarray(images[: max(2, MEMORY // (16 * values))])
        # A trace is one of a batch of its size.
        _, outputs, _ = capture(model, batch)
        strides = [None if depend.stride is None else float(depend.stride) for depend in depends]
        rest = rest_program(outputs, layouts)(state, batch)
        _check_finite(steps, rest)
        shifts = _shifts(depends, size)
        run = error_program(outputs, layouts, strides)
        sums = [Changes(jnp.zeros_like(value), jnp.zeros_like(value)) for value in rest]
        found: list[list[LayerErrors]] = []
        whole = 0
        for done, d in enumerate(shifts):
            masks = [_mask(depend, d) for depend in depends]
            errors, updated = run(state, batch, rest, jnp.asarray(d, batch.dtype), masks, sums)
            found.append(jax.device_get(errors))
            if float(d[0]).is_integer():
                # The variance is one over whole shifts, and a fraction more would not be of their kind.
                sums, whole = updated, whole + 1
            progress(done + 1, len(shifts))
        derive = derivative_program(outputs, layouts, strides)
        derivatives = [derive(state, batch, jnp.asarray(d, batch.dtype)) for d in ((1, 0), (0, 1))]
        return _layers(steps, depends, rest, shifts, found, sums, whole, jax.device_get(derivatives))


def measure_floor(images: Float[np.ndarray, "n h w c"]) -> Floor:
    """The errors of an exact network through the same programs: the rounding of this device at this precision.

    Three circular convolutions at stride 1 with ReLU after each for whole shifts; the first one, before its ReLU, for
    fractions.
    """
    shape, rngs = images.shape[1:], nnx.Rngs(0)
    layers = [
        Convolution((shape[0], shape[1], before), 8, 3, padding="circular", rngs=rngs) for before in (shape[2], 8, 8)
    ]
    control = probe_layers(_Control(layers), images)
    return Floor(
        max(float(layer.profile.error[layer.profile.size >= 1].max()) for layer in control),
        float(control[0].profile.error[control[0].profile.size < 1].max()),
    )


class _Control(nnx.Module):
    """Convolutions with ReLU after each."""

    def __init__(self, layers: Sequence[Convolution]) -> None:
        self.layers = nnx.List(layers)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w e"]:
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x


def _shifts(depends: Sequence[Dependence], size: tuple[int, int]) -> list[tuple[float, float]]:
    """A fraction, whole shifts up to 8, and two multiples of every stride: what fits the image, in three directions."""
    strides = {int(depend.stride) for depend in depends if depend.stride is not None and depend.stride >= 1}
    whole = {*range(1, SMALL_SHIFTS + 1), *strides, *(2 * stride for stride in strides)}
    sizes = [SUBPIXEL, *(d for d in sorted(whole) if d < min(size))]
    return [(d * dy, d * dx) for d in sizes for dy, dx in DIRECTIONS]


def _mask(depend: Dependence, d: tuple[float, float]) -> Float[Array, "h w"]:
    """Positions to look at apart from the border; none where the shift does not move the map by whole positions."""
    if depend.rows is None or depend.columns is None:
        return jnp.zeros((1, 1))
    inside = depend.inside((int(d[0]), int(d[1]))) if _divides(depend.stride, d) else None
    shape = depend.rows.shape[1], depend.columns.shape[1]
    return jnp.asarray(np.zeros(shape) if inside is None else inside, jnp.float32)


def _divides(stride: Fraction | None, d: tuple[float, float]) -> bool:
    if stride is None or not all(float(part).is_integer() for part in d):
        return False
    return all((Fraction(int(part)) / stride).denominator == 1 for part in d)


def _check_finite(steps: Sequence[Step], rest: Sequence[Array]) -> None:
    for step, value in zip(steps, rest, strict=True):
        if not bool(jnp.isfinite(value).all()):
            raise MeasurementError(f"The layer {step.name} ({step.kind}) gave values that are not finite.")


def _layers(
    steps: Sequence[Step],
    depends: Sequence[Dependence],
    rest: Sequence[Array],
    shifts: Sequence[tuple[float, float]],
    found: Sequence[Sequence[LayerErrors]],
    sums: Sequence[Changes],
    whole: int,
    derivatives: Sequence[Sequence[Derivative]],
) -> list[Layer]:
    layers: list[Layer] = []
    stride: Fraction | None = Fraction(1)
    for index, step in enumerate(steps):
        is_map, depend = depends[index].rows is not None, depends[index]
        stride = depend.stride if is_map else stride
        known = not is_map or stride is not None
        errors = [at[index] for at in found]
        along = [one[index] for one in derivatives]
        layers.append(
            Layer(
                step,
                stride,
                is_map,
                _profile(depend, shifts, errors, float(jnp.ptp(rest[index])), known),
                _normalized_variance(sums[index], errors, shifts, rest[index], whole),
                float(np.mean([one.square for one in along])) if known else math.nan,
                float(np.mean([one.absolute for one in along])) if known else math.nan,
            )
        )
    return layers


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
    error = np.array([at.error.mean() for at in errors]) if known else np.full(len(shifts), math.nan)
    inside = np.where(counts, [at.inside.mean() for at in errors], math.nan)
    aligned = np.array([at.aligned.mean() for at in errors])
    square = np.array([at.square for at in errors]) if known else np.full(len(shifts), math.nan)
    each = np.unique(sizes)

    def means(values: Float[np.ndarray, " s"]) -> Float[np.ndarray, " d"]:
        return np.array([_mean(values[sizes == size]) for size in each])

    with np.errstate(divide="ignore"):
        decibels = np.asarray(eq_t(means(square), np.asarray(amplitude)))
    return Profile(each, means(error), means(inside), means(aligned), decibels)


def _mean(values: Float[np.ndarray, " s"]) -> float:
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if finite.size else math.nan


def _normalized_variance(
    sums: Changes, errors: Sequence[LayerErrors], shifts: Sequence[tuple[float, float]], rest: Array, whole: int
) -> float:
    """By the law of total variance, over the whole shifts and the image at rest: m members of which one is unmoved."""
    members = whole + 1
    over_shifts = (sums.square / members - (sums.change / members) ** 2).mean(axis=0).sum()
    at_rest = ((rest - rest.mean(axis=0)) ** 2).mean(axis=0).sum()
    moved = sum(float(at.total - at.between) for at, d in zip(errors, shifts, strict=True) if float(d[0]).is_integer())
    over_images = (moved + float(at_rest)) / members
    return float(over_shifts) / over_images if over_images > 0 else math.nan
