"""Observations of a small random network, and the raw outputs that they summarize."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cnnshift.catalog import METRICS
from cnnshift.metrics.base import Summary
from cnnshift.observations import Observations
from cnnshift.shifts.sets import enumerate_shifts

SIZE = 8
SETS = ["grid", "coarse", "thirds", "axis", "diagonal", "random:5"]
ENUMERATED = SETS[:-1]


@dataclass(frozen=True)
class Raw:
    """Outputs of a model: `logits[i][d]` for every shift d of image i, including (0, 0)."""

    labels: list[int]
    logits: list[dict[tuple[int, int], np.ndarray]]
    features: list[dict[tuple[int, int], np.ndarray]]
    step: int | Fraction

    def shifts(self, i: int) -> list[tuple[int, int]]:
        return [d for d in self.logits[i] if d != (0, 0)]

    def predicted(self, i: int, d: tuple[int, int] = (0, 0)) -> int:
        return int(np.argmax(self.logits[i][d]))

    def probability(self, i: int, d: tuple[int, int], c: int) -> float:
        exponentials = [math.exp(float(f)) for f in self.logits[i][d]]
        return exponentials[c] / sum(exponentials)

    def images(self) -> range:
        return range(len(self.labels))


def observe(
    logits: np.ndarray,
    labels: np.ndarray,
    shifts: np.ndarray,
    neighbours: np.ndarray | None = None,
    features: np.ndarray | None = None,
    stride: int | None = None,
) -> Observations:
    """Compute observations from logits [n m k], whose index 0 on axis m is the unshifted image."""
    n = len(logits)
    rows = np.arange(n)
    exponentials = np.exp(logits - logits.max(axis=2, keepdims=True))
    probability = exponentials / exponentials.sum(axis=2, keepdims=True)
    predicted = logits.argmax(axis=2)
    of_class = probability[rows, :, predicted[:, 0]]
    of_label = probability[rows, :, labels]
    change = logits[:, 1:] - logits[:, :1]
    cosine = None
    if features is not None:
        unit = features / np.linalg.norm(features, axis=2, keepdims=True)
        cosine = (unit[:, 1:] * unit[:, :1]).sum(axis=2)
    return Observations(
        shifts=shifts,
        neighbours=neighbours,
        labels=labels,
        reference_prediction=predicted[:, 0],
        reference_probability=of_class[:, 0],
        reference_label_probability=of_label[:, 0],
        reference_logits=logits[:, 0],
        prediction=predicted[:, 1:],
        probability=of_class[:, 1:],
        label_probability=of_label[:, 1:],
        distance=np.sqrt((change**2).sum(axis=2)),
        cosine=cosine,
        logit_change=change.mean(axis=1),
        logit_square_change=(change**2).mean(axis=1),
        shift_logit_change=change.mean(axis=0),
        stride=stride,
    )


def run(shift_set: str, *, images: int = 14, classes: int = 4, seed: int = 0) -> tuple[Raw, Observations]:
    """Run a random two-layer network on random images, rolled by one pixel per numerator of a shift."""
    rng = np.random.default_rng(seed)
    name, step = {"coarse": ("grid", 2), "thirds": ("grid", Fraction(1, 3))}.get(shift_set, (shift_set, 1))
    chosen = enumerate_shifts(
        name, max_shift=2 * step, step=step, size=(SIZE, SIZE), wraps=False, images=images, fractional=True
    )
    pixels = rng.normal(size=(images, SIZE, SIZE))
    pixels += 2 * np.add.outer(rng.normal(size=images), np.zeros((SIZE, SIZE)))
    first = rng.normal(size=(SIZE * SIZE, 6)) / SIZE + 0.1
    second = rng.normal(size=(6, classes))
    labels = rng.integers(classes, size=images)
    logits, features = [], []
    for i in range(images):
        of_image = chosen.numerators if chosen.numerators.ndim == 2 else chosen.numerators[i]
        logits.append({})
        features.append({})
        for units in [(0, 0), *((int(a), int(b)) for a, b in of_image)]:
            activations = np.tanh(np.roll(pixels[i], units, axis=(0, 1)).ravel() @ first)
            dy, dx = (Fraction(unit, chosen.denominator) for unit in units)
            features[-1][dy, dx] = activations
            logits[-1][dy, dx] = 2 * activations @ second
    raw = Raw([int(y) for y in labels], logits, features, step)
    table = observe(
        np.array([list(row.values()) for row in logits]),
        labels,
        chosen.shifts,
        chosen.neighbours,
        np.array([list(row.values()) for row in features]),
    )
    return raw, table


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def evaluate(observations: Observations, ids: Iterable[str]) -> dict[str, Summary]:
    return {id: METRICS.load(id).summarize(observations) for id in ids}
