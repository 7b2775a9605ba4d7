"""Which pixels a layer's positions depend on, measured: its cumulative stride, and how far the border reaches.

Row after row (then column after column) of a few images is replaced by noise, and seen is which rows of every layer
change. Where the set of input rows moves on by s pixels from one position to the next, s is the stride; where it is
not the set of the middle of the map, moved, the border has a part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from cnnshift.explanation.capture import Outputs
from cnnshift.explanation.layout import Layout

IMAGES = 4
"""Images on which dependence is seen: enough that no maximum hides a row in all of them."""

_UNTOUCHED = 1e-4
"""A change below this share of a layer's largest change is rounding."""

_CENTRED = 0.05
"""A set of pixels whose centre of mass on the circle is nearer to its middle than this has none."""

_FRACTION = 0.1
"""How far a measured stride may be from a whole number, or from one over a whole number."""


@dataclass(frozen=True, slots=True)
class Dependence:
    """Of one layer.

    Attributes:
        rows: [r, i]: whether row i of the map depends on row r of the image; None for a vector.
        columns: the same of columns.
        stride: pixels from one position of the map to the next; None for a vector, or where it cannot be told.
    """

    rows: Bool[np.ndarray, "H h"] | None
    columns: Bool[np.ndarray, "W w"] | None
    stride: Fraction | None

    def inside(self, d: tuple[int, int]) -> Bool[np.ndarray, "h w"] | None:
        """Positions that a circular shift by whole pixels cannot reach from the border.

        Those that depend on the pixels of the middle of the map, moved, none of which has come in over the border. None
        where there is no such position.
        """
        if self.rows is None or self.columns is None or self.stride is None:
            return None
        inside = np.logical_and.outer(_inside(self.rows, d[0], self.stride), _inside(self.columns, d[1], self.stride))
        return inside if inside.any() else None


def find_dependence(
    outputs: Outputs, layouts: Sequence[Layout], sources: Sequence[int], state: Any, images: Float[Array, "n h w c"]
) -> list[Dependence]:
    """Measure it for every step of a network; `IMAGES` images are enough.

    Args:
        outputs: all steps, see `Capture`.
        layouts: where their positions are.
        sources: of every step, the one that it is computed from, -1 for the image.
        state: the network's weights.
        images: a batch.
    """
    height, width = images.shape[1:3]
    noise = jax.random.uniform(jax.random.key(0), images.shape, images.dtype, images.min(), images.max() + 1)
    folded = [layout for layout in layouts if layout.size is not None]

    def maps(state: Any, images: Array) -> list[Array]:
        found = zip(layouts, outputs(state, images), strict=True)
        return [layout.fold(output) for layout, output in found if layout.size is not None]

    @jax.jit
    def changes(state: Any, images: Array, noise: Array) -> list[tuple[Array, Array]]:
        rest = maps(state, images)

        def replace(line: Array) -> list[tuple[Array, Array]]:
            rows = (jnp.arange(height) == line)[None, :, None, None]
            columns = (jnp.arange(width) == line - height)[None, None, :, None]
            seen = maps(state, jnp.where(rows | columns, noise, images))
            sizes = [jnp.abs(a - b).max(axis=(0, 3)) for a, b in zip(seen, rest, strict=True)]
            return [(size.max(axis=1), size.max(axis=0)) for size in sizes]

        return lax.map(replace, jnp.arange(height + width))

    found = iter(changes(state, images, noise) if folded else [])
    image = Dependence(np.eye(height, dtype=bool), np.eye(width, dtype=bool), Fraction(1))
    # A section's source counts from -1.
    given = [image]
    for layout, source in zip(layouts, sources, strict=True):
        if layout.size is None:
            given.append(Dependence(None, None, None))
            continue
        by_row, by_column = (np.asarray(change) for change in next(found))
        rows, columns = _touched(by_row[:height]), _touched(by_column[height:])
        given.append(_dependence(given[source + 1], rows, columns))
    return given[1:]


def _dependence(before: Dependence, rows: Bool[np.ndarray, "H h"], columns: Bool[np.ndarray, "W w"]) -> Dependence:
    down, across = _stride(rows), _stride(columns)
    if (down and columns.all()) or (across and rows.all()):
        # One axis has an order in the image and the other one has none: these are not the two sides of a map.
        return Dependence(rows, columns, None)
    strides = {down or _stride_after(before, 0, rows), across or _stride_after(before, 1, columns)}
    return Dependence(rows, columns, strides.pop() if len(strides) == 1 else None)


def _stride_after(before: Dependence, axis: int, depends: Bool[np.ndarray, "N n"]) -> Fraction | None:
    """Where the border is everywhere: the stride of the source, times what the size went down by."""
    source = (before.rows, before.columns)[axis]
    if source is None or before.stride is None:
        return None
    ratio = source.shape[1] / depends.shape[1]
    return before.stride * (Fraction(round(ratio)) if ratio > 0.75 else Fraction(1, round(1 / ratio)))


def _touched(change: Float[np.ndarray, "N n"]) -> Bool[np.ndarray, "N n"]:
    return change > _UNTOUCHED * change.max(initial=0)


def _stride(depends: Bool[np.ndarray, "N n"]) -> Fraction | None:
    """The step of the sets' centres on the circle, over neighbours of one size that the border does not cut off."""
    pixels, _ = depends.shape
    counts, whole = depends.sum(axis=0), uncut(depends)
    pairs = np.flatnonzero(whole[1:] & whole[:-1] & (counts[1:] == counts[:-1]))
    centres = np.exp(2j * np.pi * np.arange(pixels) / pixels) @ depends / np.maximum(counts, 1)
    # A set that goes around evenly has no centre.
    pairs = pairs[(np.abs(centres[pairs]) > _CENTRED) & (np.abs(centres[pairs + 1]) > _CENTRED)]
    if not pairs.size:
        return None
    steps = np.abs(np.angle(centres[pairs + 1] / centres[pairs])) * pixels / (2 * np.pi)
    # Their mean: a map that repeats its positions goes on at every second one only.
    return _nearest(float(steps.mean()))


def uncut(depends: Bool[np.ndarray, "N n"]) -> Bool[np.ndarray, " n"]:
    """Positions whose pixels the border does not cut off: none at it, or going around it, and never all of them."""
    first, last, counts = depends[0], depends[-1], depends.sum(axis=0)
    return (first == last) & (counts > 0) & (counts < len(depends))


def _nearest(step: float) -> Fraction | None:
    if step <= 0:
        return None
    fraction = Fraction(round(step)) if step > 0.75 else Fraction(1, round(1 / step))
    return fraction if abs(step - fraction) < _FRACTION * fraction else None


def _inside(depends: Bool[np.ndarray, "N n"], d: int, stride: Fraction) -> Bool[np.ndarray, " n"]:
    pixels, positions = depends.shape
    first, last = max(d, 0), pixels - 1 + min(d, 0)
    middle = positions // 2
    model = np.flatnonzero(depends[:, middle])
    if not model.size or model[0] == 0 or model[-1] == pixels - 1:
        return np.zeros(positions, bool)

    moved, rest = np.divmod(stride.numerator * (np.arange(positions) - middle), stride.denominator)
    fits = (rest == 0) & (first <= model[0] + moved) & (model[-1] + moved <= last)
    # Beyond both ends as at them, where the model is not.
    expected = depends[np.clip(np.arange(pixels)[:, None] - moved, 0, pixels - 1), middle]
    return fits & (expected == depends).all(axis=0)
