"""`assert_shift_equivariant`: what a layer gives moves along with its image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cnnshift.data.split import to_unit_range
from cnnshift.errors import InputError, MeasurementError
from cnnshift.pixel_length import format_shift
from cnnshift.sweep.device import PRECISION
from cnnshift.sweep.pure_model import PureModel, as_pure_model
from cnnshift.testing.arguments import as_images, check_batch_size, nearest_first, output_shape
from cnnshift.testing.borders import describe_extent

BATCH = 128


def assert_shift_equivariant(
    layer: Callable[[Any], Any],
    images: Any,
    *,
    stride: int | tuple[int, int] = 1,
    shifts: Sequence[tuple[int, int]] | np.ndarray | None = None,
    atol: float | int = 1e-8,
    rtol: float | int = 1e-5,
    batch_size: int | None = None,
) -> None:
    """Assert that a layer, or any stack of them, commutes with circular shifts.

    For every image x and shift d, a multiple of the stride s:
    ‖f(T_d x) − T_{d/s} f(x)‖∞ ≤ atol + rtol · ‖f(x)‖∞. Where the output is a vector it must not move at all.
    The shift is an argument of one compiled program; the images go through it in batches of one size.

    Args:
        layer: an NNX module (left in evaluation mode), or any function that JAX can trace,
            [n h w c] → [n h/s w/s e], or → [n e].
        images: [n h w c]: images or maps, uint8 (taken to the scale 0..1) or floats of any size.
        stride: s in pixels, one for both axes or (vertical, horizontal).
        shifts: (dy, dx) in pixels, taken modulo (h, w); by default all multiples of the stride. Those are
            (h/s)·(w/s) − 1 passes over the images: give some of them where images are large.
        atol: allowed error. 0 with `rtol` 0 asks for equality bit by bit.
        rtol: allowed error, relative to the image's largest output at rest.
        batch_size: images per compiled step; by default up to 128.

    Raises:
        AssertionError: a shift violates it. The message names the largest violation among all images, shifts and
            output positions, and says, from the smallest violating shift, whether it stays at the border (a
            padding) or is found everywhere (aliasing, or weights that depend on the position).
        InputError: an argument that is not allowed, sizes that the stride does not divide, or a layer whose output is
            not 1/stride of its input.
        MeasurementError: the layer gave values that are not finite, at the image and shift that are named.

    Example:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> import cnnshift
        >>> images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
        >>> cnnshift.assert_shift_equivariant(lambda x: x + jnp.roll(x, 1, axis=1), images)
        >>> cnnshift.assert_shift_equivariant(lambda x: x[:, ::2, ::2], images, stride=2)
    """
    __tracebackhide__ = True
    check_batch_size(batch_size)
    for name, value in (("atol", atol), ("rtol", rtol)):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} is {value}; allowed: finite numbers from 0.")
    pixels = to_unit_range(as_images(images))
    steps = _steps(stride, pixels.shape[1:3])
    moves = _moves(shifts, steps, pixels.shape[1:3])
    subject = as_pure_model(layer)
    shape = output_shape(subject, pixels.shape, "layer")
    _check_output(shape, pixels.shape, steps)
    with jax.default_matmul_precision(PRECISION):
        found = _search(subject, pixels, moves, steps, (atol, rtol), batch_size or BATCH)
    if found is not None:
        raise AssertionError(_message(found, len(pixels), moves, steps))


@dataclass
class _Violations:
    """What a search found.

    Attributes:
        nearest: the smallest shift that some image violates.
        touched: output positions that any image violates there; None for a vector.
        images: which images violate at some shift.
        count: number of shifts that some image violates.
        error, image, shift: the largest violation; the first of equals.
        position: where in the image's output it is.
        allowed, scale: the image's tolerance and ‖f(x)‖∞.
    """

    nearest: Int[np.ndarray, " 2"]
    touched: Bool[np.ndarray, "h w"] | None
    images: Bool[np.ndarray, " n"]
    shift: Int[np.ndarray, " 2"]
    count: int = 0
    error: float = -1.0
    image: int = 0
    position: tuple[int, ...] = ()
    allowed: float = 0.0
    scale: float = 0.0


def _search(
    subject: PureModel,
    pixels: Float[np.ndarray, "n h w c"],
    moves: Int[np.ndarray, "s 2"],
    steps: tuple[int, int],
    tolerance: tuple[float | int, float | int],
    limit: int,
) -> _Violations | None:
    total = len(pixels)
    batches = math.ceil(total / limit)
    size = math.ceil(total / batches)
    # Filled up with the first image: every batch has one shape, and a compilation serves all.
    filled = np.concatenate([pixels, np.repeat(pixels[:1], size * batches - total, axis=0)])
    parts = [jnp.asarray(filled[start : start + size]) for start in range(0, len(filled), size)]

    @jax.jit
    def answer(state: Any, images: Array, d: Array) -> Array:
        output = subject.apply(state, jnp.roll(images, d, axis=(1, 2)))[0]
        return output.astype(jnp.promote_types(output.dtype, jnp.float32))

    @jax.jit
    def differ(rest: Array, moved: Array, d: Array) -> tuple[Array, Array]:
        expected = jnp.roll(rest, d, axis=(1, 2)) if rest.ndim == 4 else rest
        error = jnp.abs(moved - expected)
        return error, error.max(axis=tuple(range(1, error.ndim)))

    # The images at rest go through the same program as the moved ones, for the same rounding.
    rest = [answer(subject.state, part, np.zeros(2, np.int32)) for part in parts]
    scale = np.concatenate([np.abs(np.asarray(part)).reshape(size, -1).max(axis=1) for part in rest])[:total]
    _check_finite(scale, np.zeros(2, np.int32))
    allowed = tolerance[0] + tolerance[1] * scale.astype(np.float64)
    found = None
    for d in moves:
        out = (d // np.array(steps)).astype(np.int32)
        results = [
            differ(before, answer(subject.state, part, d), out) for before, part in zip(rest, parts, strict=True)
        ]
        peaks = np.concatenate([np.asarray(peak) for _, peak in results])[:total]
        _check_finite(peaks, d)
        bad = peaks > allowed
        if not bad.any():
            continue
        if found is None:
            found = _Violations(d, None, np.zeros(total, bool), d)
            errors = np.concatenate([np.asarray(error) for error, _ in results])[:total]
            if errors.ndim == 4:
                found.touched = np.asarray((errors > allowed[:, None, None, None]).any(axis=(0, 3)))
        found.count += 1
        found.images |= bad
        image = int(np.where(bad, peaks, -1.0).argmax())
        if peaks[image] > found.error:
            own = np.asarray(results[image // size][0][image % size])
            found.error, found.allowed, found.scale = float(peaks[image]), float(allowed[image]), float(scale[image])
            found.image, found.shift = image, d
            found.position = tuple(int(i) for i in np.unravel_index(own.argmax(), own.shape))
    return found


def _check_finite(values: Float[np.ndarray, " n"], d: np.ndarray) -> None:
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken):
        raise MeasurementError(
            f"The layer gave values that are not finite numbers: image {broken[0]} at shift {format_shift(d)}."
        )


def _steps(stride: int | tuple[int, int], size: tuple[int, ...]) -> tuple[int, int]:
    steps = (stride, stride) if isinstance(stride, int | np.integer) else tuple(stride)
    if len(steps) != 2 or any(isinstance(s, bool) or not isinstance(s, int | np.integer) or s < 1 for s in steps):
        raise InputError(
            f"stride is {stride}; allowed: a whole number of pixels from 1, or two, (vertical, horizontal)."
        )
    if size[0] % steps[0] or size[1] % steps[1]:
        raise InputError(
            f"stride is {stride}, which does not divide the {size[0]}×{size[1]} images; "
            f"allowed: divisors of both sides."
        )
    return int(steps[0]), int(steps[1])


def _moves(shifts: Any, steps: tuple[int, int], size: tuple[int, ...]) -> Int[np.ndarray, "s 2"]:
    """The shifts, nearest first, each once and as its representative nearest to 0."""
    if shifts is None:
        given = np.array([(y, x) for y in range(0, size[0], steps[0]) for x in range(0, size[1], steps[1])])
    else:
        given = np.asarray(shifts)
        if given.ndim != 2 or given.shape[1] != 2 or not np.issubdtype(given.dtype, np.integer):
            raise InputError(f"shifts are {shifts}; allowed: a list of (dy, dx) in whole pixels.")
        if len(wrong := given[(given % np.array(steps)).any(axis=1)]):
            raise InputError(
                f"shifts hold {format_shift(wrong[0])}; allowed: multiples of the stride, {steps[0]} and {steps[1]}."
            )
    half = (np.array(size) - 1) // 2
    moves = np.unique((given + half) % np.array(size) - half, axis=0)
    moves = moves[moves.any(axis=1)].astype(np.int32)
    if not len(moves):
        raise InputError(
            f"shifts leave {size[0]}×{size[1]} images where they are at stride {steps}; "
            f"allowed: at least one that moves them."
        )
    return moves[nearest_first(moves)]


def _check_output(shape: tuple[int, ...], images: tuple[int, ...], steps: tuple[int, int]) -> None:
    if len(shape) not in (2, 4) or 0 in shape:
        raise InputError(f"layer returns an array of shape {shape}; allowed: maps (n, h, w, c), or vectors (n, e).")
    want = images[1] // steps[0], images[2] // steps[1]
    if len(shape) == 4 and shape[1:3] != want:
        own = images[1] / shape[1], images[2] / shape[2]
        hint = f", or stride=({own[0]:.0f}, {own[1]:.0f})" if all(map(float.is_integer, own)) else ""
        raise InputError(
            f"layer returns maps of {shape[1]}×{shape[2]} for images of {images[1]}×{images[2]}, "
            f"and stride is {steps}; allowed: maps of {want[0]}×{want[1]}{hint}."
        )


def _message(found: _Violations, images: int, moves: np.ndarray, steps: tuple[int, int]) -> str:
    names = ("row", "column", "channel") if len(found.position) == 3 else ("component",)
    where = ", ".join(f"{name} {index}" for name, index in zip(names, found.position, strict=True))
    relative = f"{found.error / found.scale:.3g} of its largest output" if found.scale else "its output at rest is 0"
    verb, extent = "invariant", ""
    if found.touched is not None:
        verb = "equivariant"
        extent = describe_extent(found.touched, found.nearest // np.array(steps))
        extent = f"; at {format_shift(found.nearest)}, the smallest of them, {extent}"
    stride = steps[0] if steps[0] == steps[1] else steps
    return (
        f"not shift {verb} [circular, stride {stride}]: worst image {found.image} "
        f"at shift {format_shift(found.shift)}, output {where}: "
        f"off by {found.error:.3g} ({relative}), allowed {found.allowed:.3g}; "
        f"{found.count} of {len(moves)} shifts violate it, in {found.images.sum()} of {images} images{extent}"
    )
