"""Layers by themselves: each as a function of the one before it, whose output at rest is rolled by whole positions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnshift.explanation.capture import Section
from cnnshift.explanation.dependence import Dependence, uncut
from cnnshift.explanation.equivariance import equivariance_error
from cnnshift.explanation.layer_errors import Own
from cnnshift.explanation.layout import Layout
from cnnshift.explanation.periodic import align, host
from cnnshift.shifts.seams import seam_reach

DIRECTIONS = ((1, 0), (0, 1), (1, 1))

BORDER = 1e-4
"""A deviation below this share of the largest value is no sign of a border."""

Given = tuple[Layout, float | None, Array]
"""A layer's layout, its stride and what it gives at rest."""


def measure_isolated(
    sections: Sequence[Section],
    layouts: Sequence[Layout],
    strides: Sequence[float | None],
    state: Any,
    images: Float[Array, "n h w c"],
    rest: Sequence[Array],
    depends: Sequence[Dependence],
) -> list[Own | None]:
    """What every layer does wrong by itself.

    Its input is rolled by one position and by half of the map, where the seam of what was rolled is far from the
    border, each times the layer's own stride; and by one position where that is no multiple of it.

    Args:
        sections: the layers as functions, see `Capture`.
        layouts: where their positions are.
        strides: their cumulative strides.
        state: the network's weights.
        images: a batch.
        rest: what every layer gives for it.
        depends: which pixels their positions depend on.

    Returns:
        None for a layer after one without positions, where a stride is unknown or smaller than that before it, and
        where the map does not have the size that the stride leaves of the one before.
    """
    image = Layout((images.shape[1], images.shape[2]))
    # A section's source counts from -1.
    given = [(image, 1.0, images), *zip(layouts, strides, rest, strict=True)]
    steps = [_step(given[section.source + 1], given[index + 1]) for index, section in enumerate(sections)]
    reaches = [_reach(section.source, index, depends, strides) for index, section in enumerate(sections)]
    run = jax.jit(_rolled(sections, given, steps))
    found: list[list[tuple[float, int | None, float | None]]] = [[] for _ in sections]
    for half in (False, True):
        for direction in DIRECTIONS:
            rolls = [_roll(given[section.source + 1][0], target[0], direction, half=half)
                     for section, target in zip(sections, given[1:], strict=True)]  # fmt: skip
            moved = run(state, [jnp.array(q) for q in rolls], jnp.array(direction))
            for index, values in enumerate(moved):
                if values is not None:
                    found[index].append(_judge(given[index + 1], rolls[index], *values, half=half))
    return [_own(each, reach) if each else None for each, reach in zip(found, reaches, strict=True)]


def _reach(source: int, target: int, depends: Sequence[Dependence], strides: Sequence[float | None]) -> int | None:
    """How many positions of its output from a seam a layer's window can see it; None where the window is unknown."""
    rows, stride = depends[target].rows, strides[target]
    if source < 0:
        before, step = None if rows is None else np.eye(len(rows), dtype=bool), 1.0
    else:
        before, step = depends[source].rows, strides[source]
    if rows is None or before is None or stride is None or step is None:
        return None
    if not uncut(rows).any() or not uncut(before).any():
        return None
    widths = [int(each.sum(axis=0)[uncut(each)].max()) for each in (before, rows)]
    window = (widths[1] - widths[0]) / step + 1
    # All of a window may lie on one side. What is pointwise sees no seam.
    return math.ceil((window - 1) / (stride / step))


def _step(source: Given, target: Given) -> int | None:
    """The layer's own stride; 1 for one without positions; None where it has none."""
    (before, stride_before, _), (layout, stride, _) = source, target
    if before.size is None or not layout.known:
        return None
    if layout.size is None:
        return 1
    if stride is None or stride_before is None or not (stride / stride_before).is_integer():
        return None
    step = int(stride / stride_before)
    # Where the sizes do not divide (a padding by itself, a margin that is lost), the two are not on one torus.
    return step if before.size == (step * layout.size[0], step * layout.size[1]) else None


def _roll(source: Layout, target: Layout, direction: tuple[int, int], *, half: bool) -> tuple[int, int]:
    """By how many positions of the layer's output its input moves."""
    size = target.size or source.size or (0, 0)
    return (direction[0] * (size[0] // 2 if half else 1), direction[1] * (size[1] // 2 if half else 1))


def _rolled(sections: Sequence[Section], given: Sequence[Given], steps: Sequence[int | None]) -> Callable[..., Any]:
    """(state, roll of every output, direction) → of every layer what its rolled input gives, and one position on."""

    def run(state: Any, rolls: list[Array], direction: Array) -> list[tuple[Array, Array | None] | None]:
        found: list[tuple[Array, Array | None] | None] = []
        for section, (layout, _, _), step, q in zip(sections, given[1:], steps, rolls, strict=True):
            if step is None:
                found.append(None)
                continue
            moved = functools.partial(_moved, section, given[section.source + 1], layout, state)
            found.append((moved(step * q), moved(direction) if step > 1 else None))
        return found

    return run


def _moved(section: Section, source: Given, layout: Layout, state: Any, roll: Array) -> Array:
    """What a section gives for its source's output, rolled."""
    before, _, value = source
    return layout.fold(section.run(state, before.roll(value, roll)))


def _judge(
    target: Given, roll: tuple[int, int], now: Array, between: Array | None, *, half: bool
) -> tuple[float, int | None, float | None]:
    """Error at a multiple, how far from the seams it reaches, and the error between multiples."""
    layout, _, output = target
    at_rest = host(layout.fold(output))
    expected = at_rest if layout.size is None else np.roll(at_rest, roll, axis=(1, 2))
    error = float(equivariance_error(host(now), expected).max())
    missed = None
    if between is not None and not half:
        missed = float(equivariance_error(host(between), align(at_rest, host(between))).mean())
    wrong = np.abs(host(now) - expected) > BORDER * np.abs(expected).max(initial=1e-30)
    reach = None if layout.size is None or not wrong.any() else seam_reach(wrong.any(axis=(0, 3)), roll)
    return error, reach, missed


def _own(found: Sequence[tuple[float, int | None, float | None]], window: int | None) -> Own:
    # The rolls by one position come first. Those by half of the map have four seams near each other, and are only asked
    # where content far from the border lets the others see none.
    near, far = ([reach for _, reach, _ in half if reach is not None] for half in (found[:3], found[3:]))
    reached = near or far
    missed = [between for _, _, between in found if between is not None]
    return Own(
        max(error for error, _, _ in found),
        max(reached) <= window if reached and window is not None else None,
        float(np.mean(missed)) if missed else 0.0,
    )
