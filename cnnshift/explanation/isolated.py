"""Isolated errors: every layer as a function of its input layer, whose output is rolled by whole positions."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnshift.explanation.capture import Section
from cnnshift.explanation.equivariance import equivariance_error
from cnnshift.explanation.layout import Layout
from cnnshift.explanation.periodic import align, to_numpy
from cnnshift.explanation.receptive_field import ReceptiveField, untruncated
from cnnshift.shifts.seams import seam_reach

DIRECTIONS = ((1, 0), (0, 1), (1, 1))

LayerOutput = tuple[Layout, float | None, Array]
"""A layer's layout, its stride, and its output for the unshifted images."""


@dataclass(frozen=True, slots=True)
class IsolatedErrors:
    """Errors of one layer alone, when its input is rolled by whole positions.

    The errors are NaN for a layer whose input is a vector, whose stride is unknown or smaller than that of its input,
    or whose map does not have the size that its stride implies.

    Attributes:
        error: largest `equivariance_error` under rolls by multiples of the layer's own stride.
        at_border: whether all affected positions lie within the reach of the layer's window from the border; None if
            there is no error or every window reaches the border.
        off_grid_error: mean error under rolls by one position against the best whole roll of the output; 0 for an own
            stride of 1.
    """

    error: float
    at_border: bool | None
    off_grid_error: float


_Trial = tuple[float, int | None, float | None]
"""Under one roll: the error, the distance from a seam that it reaches (None without errors), the off-grid error."""


def measure_isolated(
    sections: Sequence[Section],
    layouts: Sequence[Layout],
    strides: Sequence[float | None],
    state: Any,
    images: Float[Array, "n h w c"],
    unshifted: Sequence[Array],
    fields: Sequence[ReceptiveField],
) -> list[IsolatedErrors]:
    """Measure the isolated errors of every layer.

    The input is rolled by one output position, and by half of the map, which puts the seam far from the border. If the
    layer's own stride exceeds 1, the input is also rolled by one input position. `unshifted` has the outputs of all
    layers for `images`.
    """
    targets: list[LayerOutput] = list(zip(layouts, strides, unshifted, strict=True))
    image: LayerOutput = (Layout((images.shape[1], images.shape[2])), 1.0, images)
    inputs = [image if section.source < 0 else targets[section.source] for section in sections]
    steps = [_own_stride(before, target) for before, target in zip(inputs, targets, strict=True)]
    trials: list[list[_Trial]] = [[] for _ in sections]

    @jax.jit
    def run(state: Any, rolls: list[Array], direction: Array) -> list[tuple[Array, Array | None] | None]:
        results: list[tuple[Array, Array | None] | None] = []
        for section, before, (layout, _, _), step, q in zip(sections, inputs, targets, steps, rolls, strict=True):
            moved = functools.partial(_run_rolled, section, before, layout, state)
            results.append(None if step is None else (moved(step * q), moved(direction) if step > 1 else None))
        return results

    for half in (False, True):
        for direction in DIRECTIONS:
            pairs = zip(inputs, targets, strict=True)
            rolls = [_roll(before[0], target[0], direction, half=half) for before, target in pairs]
            moved = run(state, [jnp.array(q) for q in rolls], jnp.array(direction))
            for index, values in enumerate(moved):
                if values is not None:
                    trials[index].append(_compare(targets[index], rolls[index], *values, half=half))
    reaches = [_window_reach(section.source, index, fields, strides) for index, section in enumerate(sections)]
    return [_summarize(each, reach) for each, reach in zip(trials, reaches, strict=True)]


def _window_reach(
    source: int, target: int, fields: Sequence[ReceptiveField], strides: Sequence[float | None]
) -> int | None:
    """Return how many output positions from a seam a layer's window can reach it; None if the window is unknown."""
    rows, stride = fields[target].rows, strides[target]
    if source < 0:
        before, stride_before = None if rows is None else np.eye(len(rows), dtype=bool), 1.0
    else:
        before, stride_before = fields[source].rows, strides[source]
    if rows is None or before is None or stride is None or stride_before is None:
        return None
    if not (untruncated(rows).any() and untruncated(before).any()):
        return None
    widths = [int(each.sum(axis=0)[untruncated(each)].max()) for each in (before, rows)]
    window = (widths[1] - widths[0]) / stride_before + 1
    # The window may lie entirely on one side of its position. A pointwise layer reaches no seam.
    return math.ceil((window - 1) / (stride / stride_before))


def _own_stride(source: LayerOutput, target: LayerOutput) -> int | None:
    """Return the stride of the layer alone; 1 for a vector; None if it is not defined."""
    (before, stride_before, _), (layout, stride, _) = source, target
    if before.size is None or not layout.known:
        return None
    if layout.size is None:
        return 1
    if stride is None or stride_before is None or not (stride / stride_before).is_integer():
        return None
    step = int(stride / stride_before)
    # Where the sizes differ (a separate padding layer, a cropped margin), the maps do not share one period.
    return step if before.size == (step * layout.size[0], step * layout.size[1]) else None


def _roll(source: Layout, target: Layout, direction: tuple[int, int], *, half: bool) -> tuple[int, int]:
    """Return the roll in output positions."""
    size = target.size or source.size or (0, 0)
    return (direction[0] * (size[0] // 2 if half else 1), direction[1] * (size[1] // 2 if half else 1))


def _run_rolled(section: Section, source: LayerOutput, layout: Layout, state: Any, roll: Array) -> Array:
    before, _, value = source
    return layout.fold(section.run(state, before.roll(value, roll)))


def _compare(
    target: LayerOutput, roll: tuple[int, int], on_grid: Array, off_grid: Array | None, *, half: bool
) -> _Trial:
    layout, _, output = target
    unshifted, moved = to_numpy(layout.fold(output)), to_numpy(on_grid)
    expected = unshifted if layout.size is None else np.roll(unshifted, roll, axis=(1, 2))
    error, off_grid_error = float(equivariance_error(moved, expected).max()), None
    if off_grid is not None and not half:
        off_grid_error = float(equivariance_error(to_numpy(off_grid), align(unshifted, to_numpy(off_grid))).mean())
    # Deviations below 1e-4 of the largest value are rounding.
    affected = np.abs(moved - expected) > 1e-4 * np.abs(expected).max(initial=1e-30)
    reach = None if layout.size is None or not affected.any() else seam_reach(affected.any(axis=(0, 3)), roll)
    return error, reach, off_grid_error


def _summarize(trials: Sequence[_Trial], window: int | None) -> IsolatedErrors:
    if not trials:
        return IsolatedErrors(math.nan, None, math.nan)
    # Rolls by half of the map have four seams close to each other. They decide only where the content near the border
    # hides the errors of the rolls by one position.
    near, far = ([reach for _, reach, _ in half if reach is not None] for half in (trials[:3], trials[3:]))
    reached = near or far
    off_grid = [error for _, _, error in trials if error is not None]
    return IsolatedErrors(
        max(error for error, _, _ in trials),
        max(reached) <= window if reached and window is not None else None,
        float(np.mean(off_grid)) if off_grid else 0.0,
    )
