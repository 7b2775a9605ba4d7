"""Receptive fields and cumulative strides, measured.

Each row (then each column) of a few images is replaced by noise in turn, which shows the rows of every layer that
depend on it. The stride is the distance in pixels between the receptive fields of neighbouring positions. A position
whose field is not the shifted field of the map's centre is affected by the border.
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
"""Number of images: a maximum can hide a row in one image, hardly in all of them."""


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Receptive fields of the positions of one layer.

    Attributes:
        rows: [r, i], whether row i of the map depends on row r of the image; None for a vector.
        columns: the same for columns.
        stride: pixels between neighbouring positions of the map; None for a vector, or if it is not defined.
    """

    rows: Bool[np.ndarray, "H h"] | None
    columns: Bool[np.ndarray, "W w"] | None
    stride: Fraction | None

    def interior(self, d: tuple[int, int]) -> Bool[np.ndarray, "h w"] | None:
        """Return the positions that the border cannot affect under a circular shift by whole pixels.

        Their receptive field is that of the map's centre, moved, and contains no pixel that was wrapped around.
        None if there is no such position, or if the stride does not divide the shift.
        """
        if self.rows is None or self.columns is None or self.stride is None:
            return None
        if any((part / self.stride).denominator > 1 for part in d):
            return None
        mask = np.logical_and.outer(_interior(self.rows, d[0], self.stride), _interior(self.columns, d[1], self.stride))
        return mask if mask.any() else None


def measure_receptive_fields(
    outputs: Outputs, layouts: Sequence[Layout], sources: Sequence[int], state: Any, images: Float[Array, "n h w c"]
) -> list[ReceptiveField]:
    """Measure the receptive fields of every layer of a network on a batch of `IMAGES` images.

    `sources` has the index of every layer's input layer; -1 for the image.
    """
    height, width = images.shape[1:3]
    noise = jax.random.uniform(jax.random.key(0), images.shape, images.dtype, images.min(), images.max() + 1)

    def maps(state: Any, images: Array) -> list[Array]:
        pairs = zip(layouts, outputs(state, images), strict=True)
        return [layout.fold(output) for layout, output in pairs if layout.size is not None]

    @jax.jit
    def changes(state: Any, images: Array, noise: Array) -> list[tuple[Array, Array]]:
        baseline = maps(state, images)

        def replace(line: Array) -> list[tuple[Array, Array]]:
            rows = (jnp.arange(height) == line)[None, :, None, None]
            columns = (jnp.arange(width) == line - height)[None, None, :, None]
            replaced = maps(state, jnp.where(rows | columns, noise, images))
            sizes = [jnp.abs(a - b).max(axis=(0, 3)) for a, b in zip(replaced, baseline, strict=True)]
            return [(size.max(axis=1), size.max(axis=0)) for size in sizes]

        return lax.map(replace, jnp.arange(height + width))

    measured = iter(changes(state, images, noise) if any(layout.size is not None for layout in layouts) else [])
    # The image comes first, because the source of a layer counts from -1.
    fields = [ReceptiveField(np.eye(height, dtype=bool), np.eye(width, dtype=bool), Fraction(1))]
    for layout, source in zip(layouts, sources, strict=True):
        if layout.size is None:
            fields.append(ReceptiveField(None, None, None))
            continue
        by_row, by_column = (np.asarray(change) for change in next(measured))
        fields.append(_field(fields[source + 1], _changed(by_row[:height]), _changed(by_column[height:])))
    return fields[1:]


def untruncated(depends: Bool[np.ndarray, "N n"]) -> Bool[np.ndarray, " n"]:
    """Return the positions whose field the border does not truncate: it ends before both edges or wraps around."""
    first, last, counts = depends[0], depends[-1], depends.sum(axis=0)
    return (first == last) & (counts > 0) & (counts < len(depends))


def _field(source: ReceptiveField, rows: Bool[np.ndarray, "H h"], columns: Bool[np.ndarray, "W w"]) -> ReceptiveField:
    down, across = _stride(rows), _stride(columns)
    if (down and columns.all()) or (across and rows.all()):
        # Only one axis is ordered as in the image: the two axes are not those of a map.
        return ReceptiveField(rows, columns, None)
    strides = {down or _stride_by_size(source, 0, rows), across or _stride_by_size(source, 1, columns)}
    return ReceptiveField(rows, columns, strides.pop() if len(strides) == 1 else None)


def _stride_by_size(source: ReceptiveField, axis: int, depends: Bool[np.ndarray, "N n"]) -> Fraction | None:
    """Infer the stride from the ratio of sizes, for maps on which every field reaches the border."""
    before = (source.rows, source.columns)[axis]
    if before is None or source.stride is None:
        return None
    return source.stride * _whole_or_inverse(before.shape[1] / depends.shape[1])


def _changed(change: Float[np.ndarray, "N n"]) -> Bool[np.ndarray, "N n"]:
    # Changes below 1e-4 of the largest one are rounding.
    return change > 1e-4 * change.max(initial=0)


def _stride(depends: Bool[np.ndarray, "N n"]) -> Fraction | None:
    """Measure the mean distance of the circular centres of neighbouring untruncated fields of equal size."""
    pixels, _ = depends.shape
    counts, whole = depends.sum(axis=0), untruncated(depends)
    pairs = np.flatnonzero(whole[1:] & whole[:-1] & (counts[1:] == counts[:-1]))
    centres = np.exp(2j * np.pi * np.arange(pixels) / pixels) @ depends / np.maximum(counts, 1)
    # A field whose circular mean is nearly 0 has no defined centre.
    pairs = pairs[(np.abs(centres[pairs]) > 0.05) & (np.abs(centres[pairs + 1]) > 0.05)]
    if not pairs.size:
        return None
    steps = np.abs(np.angle(centres[pairs + 1] / centres[pairs])) * pixels / (2 * np.pi)
    # The mean, because a nearest-neighbour upsampled map repeats every position.
    step = float(steps.mean())
    if step <= 0:
        return None
    fraction = _whole_or_inverse(step)
    return fraction if abs(step - fraction) < 0.1 * fraction else None


def _whole_or_inverse(ratio: float) -> Fraction:
    return Fraction(round(ratio)) if ratio > 0.75 else Fraction(1, round(1 / ratio))


def _interior(depends: Bool[np.ndarray, "N n"], d: int, stride: Fraction) -> Bool[np.ndarray, " n"]:
    pixels, positions = depends.shape
    first, last = max(d, 0), pixels - 1 + min(d, 0)
    middle = positions // 2
    centre = np.flatnonzero(depends[:, middle])
    if not centre.size or centre[0] == 0 or centre[-1] == pixels - 1:
        return np.zeros(positions, bool)

    moved, remainder = np.divmod(stride.numerator * (np.arange(positions) - middle), stride.denominator)
    fits = (remainder == 0) & (first <= centre[0] + moved) & (centre[-1] + moved <= last)
    # Clipping repeats the first and last row, which the field of the centre does not contain.
    expected = depends[np.clip(np.arange(pixels)[:, None] - moved, 0, pixels - 1), middle]
    return fits & (expected == depends).all(axis=0)
