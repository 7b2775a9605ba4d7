"""The tables of a measured cell."""

import numpy as np
import pytest
from flax import nnx

import cnnshift
from cnnshift.data.split import Split

RNG = np.random.RandomState(0)
SPLIT = Split(RNG.randint(0, 256, (6, 8, 8, 1), dtype=np.uint8), np.arange(6) % 3, ("a", "b", "c"), background=(0.0,))


def linear(images):
    return images.reshape(len(images), -1)[:, :3]


class Subsampled(nnx.Module):
    """Exposes features: every pixel of a grid with a stride per axis."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns

    def features(self, images):
        return images[:, :: self.rows, :: self.columns]

    def embed(self, features):
        return features.reshape(len(features), -1)

    def classify(self, embedding):
        return embedding[:, :3]

    def __call__(self, images):
        return self.classify(self.embed(self.features(images)))


@pytest.mark.parametrize(
    ("model", "stride", "reason"),
    [
        (linear, None, "does not expose its features"),
        (Subsampled(2, 2), 2, ""),
        (Subsampled(1, 1), 1, ""),
        (Subsampled(2, 1), None, "differs between the two axes"),
        (Subsampled(3, 3), None, "(3, 3, 1), which does not divide 8×8 pixels"),
        (Subsampled(4, 2), None, "differs between the two axes"),
    ],
)
def test_total_stride(model, stride, reason):
    run = cnnshift.measure(model, SPLIT, protocol="zero", max_shift=2)
    assert run.by_phase.stride == stride
    assert reason in run.by_phase.reason
    gap = run.metric("phase_spectrum")
    if stride is None:
        assert "total stride is known" in gap.reason
        return
    assert len(run.by_phase.py) == stride**2
    assert sum(run.by_phase.pairs) == 6 * 24
    assert gap.n == (0 if stride == 1 else 6)


def test_single_position_has_no_stride():
    class Pooled(Subsampled):
        def features(self, images):
            return images[:, :3, :1].reshape(len(images), 1, 1, 3)

    assert "single position" in cnnshift.measure(Pooled(1, 1), SPLIT, max_shift=1).by_phase.reason


def test_tables_have_sensitivity_and_survival_intervals():
    run = cnnshift.measure(linear, SPLIT, max_shift=2)
    table, sensitivity = run.by_shift, run.metric("sensitivity")
    assert sensitivity.value == pytest.approx(np.mean(table.sensitivity))
    radius = np.abs([table.dy, table.dx]).max(axis=0)
    for row, r in enumerate(run.by_radius.radius):
        assert run.by_radius.sensitivity[row] == pytest.approx(np.mean(np.array(table.sensitivity)[radius == r]))
        low, high = run.by_radius.survival_ci95[row]
        assert low <= run.by_radius.survival[row] <= high
        assert low < high


def test_sensitivity_without_an_interclass_distance():
    one_class = Split(SPLIT.images, np.zeros(6, np.int32), ("a", "b", "c"), background=(0.0,))
    run = cnnshift.measure(linear, one_class, max_shift=1)
    for table in (run.by_shift, run.by_radius):
        assert table.sensitivity is None
        assert "two classes" in table.sensitivity_reason
