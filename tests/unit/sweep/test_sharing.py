"""The shared engine against the direct engine, and models and shifts that it refuses."""

import logging
from dataclasses import fields
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.data.split import Split
from cnnshift.errors import InputError, MeasurementError
from cnnshift.models.base import build
from cnnshift.shifts.bilinear import Bilinear
from cnnshift.shifts.circular import Circular
from cnnshift.shifts.fourier import Fourier
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.shifts.zero import Zero
from cnnshift.spec import ModelSpec
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.sweep.sharing import Sharing, find_sharing
from cnnshift.unavailable import Unavailable
from tests.networks import Conv, Linear

RNG = np.random.RandomState(0)
SPLIT = Split(
    RNG.randint(0, 256, (7, 16, 16, 2), dtype=np.uint8), np.arange(7) % 4, tuple("abcd"), background=(0.0, 0.0)
)


def network(options):
    return build(ModelSpec.parse(f"cnn:width=4,padding=circular,{options}"), (16, 16, 2), 4, seed=3)


def shift_set(name="full", radius=5, *, wraps=True):
    return enumerate_shifts(name, max_shift=radius, step=1, size=(16, 16), wraps=wraps, images=len(SPLIT))


def sweep(model, engine, shifts=None, **options):
    chosen = shifts or shift_set()
    return run_sweep(
        as_pure_model(model), SPLIT, Circular((16, 16), reach=chosen.reach), chosen, engine=engine, **options
    )


@pytest.mark.parametrize(
    ("options", "stride", "shifts"),
    [
        ("head=gap,pool=aps", 8, ("full", 5)),
        ("head=gap", 8, ("grid", 5)),
        ("head=gmp,pool=stride,depth=2", 4, ("axis", 7)),
        ("head=gap,pool=none,depth=2", 1, ("full", 5)),
        ("head=flatten,pool=avg,depth=2", 4, ("full", 5)),
        ("head=flatten,pool=blur,blur=4,norm=layer", 8, ("grid", 5)),
        ("head=flatten,pool=none,depth=1", 1, ("axis", 7)),
    ],
    ids=str,
)
def test_shared_equals_direct(options, stride, shifts):
    model, chosen = network(options), shift_set(*shifts)
    direct, shared = sweep(model, "direct", chosen), sweep(model, "shared", chosen, batch_size=3)
    phases = {(int(dy) % stride, int(dx) % stride) for dy, dx in chosen.shifts}
    assert shared.forward_passes == len(SPLIT) * (len(phases) + 1)
    assert direct.forward_passes == len(SPLIT) * (chosen.count + 1)
    np.testing.assert_array_equal(shared.observations.prediction, direct.observations.prediction)
    for field in fields(direct.observations):
        values = [getattr(found.observations, field.name) for found in (direct, shared)]
        np.testing.assert_allclose(values[1], values[0], rtol=1e-4, atol=1e-5, err_msg=field.name)


@pytest.mark.parametrize(
    "spec",
    [
        "cnn:width=2,padding=zero,head=gap",
        "cnn:width=2,padding=valid,depth=2,head=gap",
        "locally_connected:width=2,padding=circular,head=gap",
    ],
)
def test_models_that_are_not_equivariant_are_not_shared(spec):
    model = build(ModelSpec.parse(spec), (16, 16, 2), 4, seed=0)
    with pytest.raises(InputError, match=r"The shared engine is not possible here: the features are not equivariant"):
        sweep(model, "shared")
    assert sweep(model, "auto", shift_set("axis", 2)).engine == "direct"


def test_sizes_that_the_stride_does_not_divide_are_not_shared():
    odd = Split(SPLIT.images[:, :12, :12], SPLIT.labels, SPLIT.classes, background=(0.0, 0.0))
    chosen = enumerate_shifts("full", max_shift=1, step=1, size=(12, 12), wraps=True, images=7)
    model = build(ModelSpec.parse("cnn:width=2,padding=circular,head=gap"), (12, 12, 2), 4, seed=0)
    found = find_sharing(as_pure_model(model), odd, Circular((12, 12), reach=chosen.reach), chosen)
    assert isinstance(found, Unavailable)
    assert "sizes that the stride does not divide" in found.reason


def test_other_protocols_and_per_image_shifts_are_not_shared():
    model = as_pure_model(network("head=gap"))
    zero = find_sharing(
        model, SPLIT, Zero((16, 16), reach=3, background=(0.0, 0.0)), shift_set(radius=3, wraps=False, name="grid")
    )
    each = find_sharing(model, SPLIT, Circular((16, 16), reach=5), shift_set("random:9"))
    assert "does not wrap" in zero.reason
    assert "differ between images" in each.reason
    assert (
        "does not expose"
        in find_sharing(as_pure_model(lambda x: x), SPLIT, Circular((16, 16), reach=5), shift_set()).reason
    )


@pytest.mark.parametrize("protocol", [Fourier, Bilinear])
def test_fractions_are_not_shared_but_whole_pixels_are(protocol):
    model = as_pure_model(network("head=gap,depth=2"))
    thirds = enumerate_shifts(
        "grid", max_shift=1, step=Fraction(1, 3), size=(16, 16), wraps=True, images=len(SPLIT), fractional=True
    )
    found = find_sharing(model, SPLIT, protocol((16, 16), reach=1), thirds)
    assert isinstance(found, Unavailable)
    assert "fractions" in found.reason
    whole = shift_set()
    direct, shared = (
        run_sweep(model, SPLIT, protocol((16, 16), reach=whole.reach), whole, engine=engine).observations
        for engine in ("direct", "shared")
    )
    np.testing.assert_array_equal(shared.prediction, direct.prediction)
    np.testing.assert_allclose(shared.probability, direct.probability, atol=1e-5)


def test_auto_shares_where_it_saves_work():
    model = network("head=gap")
    assert sweep(model, "auto").engine == "shared"
    # 24 shifts of up to 2 pixels have 24 phases of a stride of 8.
    assert sweep(model, "auto", shift_set("grid", 2)).engine == "direct"


def test_wrong_stages_are_detected(caplog):
    model = network("head=gap,depth=2")
    stages = model.circular_stages((16, 16))
    model.circular_stages = lambda size: [stages[0], stages[1]._replace(stride=1)]
    with caplog.at_level(logging.WARNING):
        found = sweep(model, "auto", batch_size=64)
    assert found.engine == "direct"
    assert "does not agree with the direct engine (image" in caplog.text
    np.testing.assert_array_equal(found.observations.prediction, sweep(model, "direct").observations.prediction)
    with pytest.raises(MeasurementError, match=r"image \d+ at shift \(dy="):
        sweep(model, "shared", batch_size=64)


class Patches(nnx.Module):
    """A user's module: patches, a convolution, and a head that depends on positions or not."""

    def __init__(self, *, uses_positions, padding="VALID"):
        rngs = nnx.Rngs(0)
        self.patches = Conv(2, 6, (4, 4), strides=(4, 4), padding=padding, rngs=rngs)
        self.mix = Conv(6, 6, (3, 3), padding="SAME" if padding == "SAME" else "CIRCULAR", rngs=rngs)
        self.out = Linear(96 if uses_positions else 6, 4, rngs=rngs)
        self.uses_positions = uses_positions

    def features(self, images):
        return jnp.tanh(self.mix(jnp.tanh(self.patches(images))))

    def embed(self, features):
        return features.reshape(len(features), -1) if self.uses_positions else features.mean(axis=(1, 2))

    def __call__(self, images):
        return self.classify(self.embed(self.features(images)))

    def classify(self, embedding):
        return jnp.tanh(self.out(embedding))


@pytest.mark.parametrize("uses_positions", [True, False])
def test_structure_of_other_modules_is_measured(uses_positions):
    model = Patches(uses_positions=uses_positions)
    found = find_sharing(as_pure_model(model), SPLIT, Circular((16, 16), reach=15), shift_set())
    assert isinstance(found, Sharing)
    assert (found.stride, found.readout) == (4, "any" if uses_positions else "global")
    direct, shared = sweep(model, "direct"), sweep(model, "shared")
    np.testing.assert_array_equal(shared.observations.prediction, direct.observations.prediction)
    np.testing.assert_allclose(shared.observations.cosine, direct.observations.cosine, atol=1e-5)


def test_module_that_does_not_commute_with_rolls_is_not_shared():
    found = find_sharing(
        as_pure_model(Patches(uses_positions=False, padding="SAME")), SPLIT, Circular((16, 16), reach=15), shift_set()
    )
    assert isinstance(found, Unavailable)
    assert "do not commute with a circular shift" in found.reason
