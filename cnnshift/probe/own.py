"""Layers by themselves: each as a function of the one before it, whose output at rest is rolled by whole positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnshift.probe.capture import Section
from cnnshift.probe.formulas import equivariance_error
from cnnshift.probe.layer import Own
from cnnshift.probe.layout import Layout
from cnnshift.probe.torus import align
from cnnshift.shifts.seams import stays_at_border

DIRECTIONS = ((1, 0), (0, 1), (1, 1))

BORDER = 1e-4
"""A deviation below this share of the largest value is no sign of a border."""

Given = tuple[Layout, float | None, Array]
"""A layer's layout, its stride and what it gives at rest."""


def measure_own(
    sections: Sequence[Section],
    layouts: Sequence[Layout],
    strides: Sequence[float | None],
    state: Any,
    images: Float[Array, "n h w c"],
    rest: Sequence[Array],
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

    Returns:
        None for a layer after one without positions, and where a stride is unknown or smaller than that before it.
    """
    image = Layout((images.shape[1], images.shape[2]))
    # A section's source counts from -1.
    given = [(image, 1.0, images), *zip(layouts, strides, rest, strict=True)]
    steps = [_step(given[section.source + 1], given[index + 1]) for index, section in enumerate(sections)]
    run = jax.jit(_rolled(sections, given, steps))
    found: list[list[tuple[float, bool | None, float | None]]] = [[] for _ in sections]
    for half in (False, True):
        for direction in DIRECTIONS:
            rolls = [_roll(given[section.source + 1][0], target[0], direction, half=half)
                     for section, target in zip(sections, given[1:], strict=True)]  # fmt: skip
            moved = run(state, [jnp.array(q) for q in rolls], jnp.array(direction))
            for index, values in enumerate(moved):
                if values is not None:
                    found[index].append(_judge(given[index + 1], rolls[index], *values, half=half))
    return [_own(each) if each else None for each in found]


def _step(source: Given, target: Given) -> int | None:
    """The layer's own stride; 1 for one without positions; None where it has none."""
    (before, stride_before, _), (layout, stride, _) = source, target
    if before.size is None:
        return None
    if layout.size is None:
        return 1
    if stride is None or stride_before is None or not (stride / stride_before).is_integer():
        return None
    return int(stride / stride_before)


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
            before, _, value = given[section.source + 1]

            def moved(
                d: Array,
                section: Section = section,
                layout: Layout = layout,
                before: Layout = before,
                value: Any = value,
            ) -> Array:
                return layout.fold(section.run(state, before.roll(value, d)))

            found.append((moved(step * q), moved(direction) if step > 1 else None))
        return found

    return run


def _judge(
    target: Given, roll: tuple[int, int], now: Array, between: Array | None, *, half: bool
) -> tuple[float, bool | None, float | None]:
    """Error at a multiple, whether it stays at the border, and the error between multiples."""
    layout, _, output = target
    at_rest = np.asarray(layout.fold(output))
    expected = at_rest if layout.size is None else np.roll(at_rest, roll, axis=(1, 2))
    error = float(equivariance_error(now, expected).max())
    missed = None
    if between is not None and not half:
        missed = float(equivariance_error(between, align(at_rest, np.asarray(between))).mean())
    wrong = np.abs(np.asarray(now) - expected) > BORDER * np.abs(expected).max(initial=1e-30)
    if layout.size is None or not wrong.any():
        return error, None, missed
    return error, stays_at_border(wrong.any(axis=(0, 3)), roll), missed


def _own(found: Sequence[tuple[float, bool | None, float | None]]) -> Own:
    broken = [at_border for error, at_border, _ in found if error > BORDER]
    missed = [between for _, _, between in found if between is not None]
    return Own(
        max(error for error, _, _ in found),
        None if not broken or None in broken else all(broken),
        float(np.mean(missed)) if missed else 0.0,
    )
