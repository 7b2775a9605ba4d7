"""Known answers of design section 9 through the real models, engine and metrics: untrained networks, random images."""

import numpy as np
import pytest

from cnnshift.catalog import METRICS, PROTOCOLS
from cnnshift.data.split import Split
from cnnshift.metrics.profiles import profile_by_phase
from cnnshift.models.base import build
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import ModelSpec
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import PureModel, as_pure_model

SIZE, IMAGES, CLASSES = 16, 6, 5
SPLIT = Split(
    images=np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 2), np.uint8),
    labels=np.arange(IMAGES, dtype=np.int32) % CLASSES,
    classes=tuple("abcde"),
    background=(0.0, 0.0),
)


def observe(model, *, protocol="circular", split=SPLIT, shifts="full", max_shift=4):
    if isinstance(model, str):
        model = as_pure_model(build(ModelSpec.parse(model), (*split.size, split.channels), CLASSES, seed=0))
    kind = PROTOCOLS.load(protocol)
    found = enumerate_shifts(shifts, max_shift=max_shift, step=1, size=split.size, wraps=kind.wraps, images=len(split))
    moving = kind(split.size, reach=found.reach, context=split.context, background=split.background)
    # The shared engine presupposes some of these identities.
    return run_sweep(model, split, moving, found, engine="direct").observations


def value(id, observations):
    return METRICS.load(id).summarize(observations).value


def relative(observations):
    """Distance of the logits at every shift, relative to the size of the unshifted ones."""
    return observations.distance / np.linalg.norm(observations.reference_logits, axis=1, keepdims=True)


def test_k1_stride_1_circular_convolution_with_global_average_is_invariant():
    observations = observe("cnn:pool=none,padding=circular,head=gap,width=4")
    assert relative(observations).max() < 1e-5
    assert value("pairwise_consistency", observations) == 1


def test_k2_and_k3_a_stride_is_equivariant_to_its_multiples_only():
    # Three poolings: total stride 8, so that a shift matters only modulo 8.
    observations = observe("cnn:pool=stride,padding=circular,head=gap,width=4,depth=3")
    multiples = (observations.shifts % 8 == 0).all(axis=1)
    assert multiples.sum() == (SIZE // 8) ** 2 - 1
    assert relative(observations)[:, multiples].max() < 1e-5
    assert relative(observations)[:, ~multiples].max(axis=0).min() > 1e-4
    phases = {}
    for column, d in enumerate(observations.shifts):
        phases.setdefault(tuple(d % 8), []).append(observations.probability[:, column])
    assert len(phases) == 64
    # A circular network has no border effects: all of the inconsistency is periodic.
    rows = profile_by_phase(observations, 8)
    assert observations.stride == 8
    consistency, py, px = np.array(rows.consistency), np.array(rows.py), np.array(rows.px)
    assert consistency[0] == 1
    assert value("phase_spectrum", observations) == pytest.approx(1 - consistency[(py == 0) != (px == 0)].mean())
    for same in phases.values():
        np.testing.assert_allclose(same, np.broadcast_to(same[0], np.shape(same)), atol=1e-5)


@pytest.mark.parametrize("norm", ["l1", "l2", "inf"])
def test_k5_polyphase_pooling_is_invariant_to_every_circular_shift_untrained(norm):
    observations = observe(f"cnn:pool=aps,aps={norm},padding=circular,head=gap,width=4,depth=2")
    assert relative(observations).max() < 1e-5
    assert value("pairwise_consistency", observations) == 1


def test_k7_global_maximum_is_bitwise_invariant_up_to_the_last_layer():
    observations = observe("cnn:pool=none,padding=circular,head=gmp,width=4")
    assert (observations.distance == 0).all()


@pytest.mark.parametrize("model", ["mlp", "cnn:padding=circular,head=flatten,width=4", "locally_connected:width=4"])
def test_k8_position_matters_to_a_fully_connected_head(model):
    observations = observe(model)
    assert np.median(relative(observations)) > 0.05


def test_k9_the_orbit_average_of_any_network_is_invariant():
    inner = as_pure_model(build(ModelSpec.parse("mlp"), (SIZE, SIZE, 2), CLASSES, seed=0))

    def average(state, images):
        import jax
        import jax.numpy as jnp

        def shifted(d):
            return inner.apply(state, jnp.roll(images, (d // SIZE, d % SIZE), (1, 2)))[0]

        return jax.lax.map(shifted, jnp.arange(SIZE * SIZE)).mean(axis=0), None

    observations = observe(PureModel(average, inner.state), shifts="grid", max_shift=2)
    assert relative(observations).max() < 1e-5
    assert np.median(relative(observe("mlp"))) > 0.05


def test_k13_within_a_margin_all_protocols_that_add_background_agree_bitwise():
    canvas = SPLIT.on_canvas(SIZE + 6)
    circular, zero, crop = (
        observe("cnn:width=4", protocol=name, split=canvas, shifts="grid", max_shift=3)
        for name in ("circular", "zero", "crop")
    )
    for field in ("prediction", "probability", "label_probability", "distance", "cosine", "logit_change"):
        np.testing.assert_array_equal(getattr(circular, field), getattr(zero, field))
        np.testing.assert_array_equal(getattr(circular, field), getattr(crop, field))


def test_k15_zero_padding_makes_circular_shifts_visible_at_the_border_only():
    circular, zero = (
        observe("cnn:pool=none,padding=circular,head=gap,width=4,depth=1"),
        observe("cnn:pool=none,padding=zero,head=gap,width=4,depth=1"),
    )
    # A global average over 16×16 of which only border rows and columns differ: small, but not rounding.
    assert relative(circular).max() < 1e-5
    assert 1e-5 < np.median(relative(zero)) < 0.5


def test_k18_a_constant_classifier_is_consistent_and_has_a_kappa_of_0():
    def constant(state, images):
        import jax.numpy as jnp

        return jnp.zeros((len(images), CLASSES)).at[:, 1].set(1.0), None

    observations = observe(PureModel(constant, {}))
    expected = {
        "pairwise_consistency": 1,
        "reference_consistency": 1,
        "flip_probability": 0,
        "mac": 0,
        "kappa": 0,
        "probability_range": 0,
    }
    assert {id: value(id, observations) for id in expected} == expected


@pytest.mark.parametrize("protocol", ["circular", "zero", "reflect", "replicate"])
def test_k18_the_worst_case_is_at_most_the_mean_and_falls_with_the_radius(protocol):
    from cnnshift.metrics.profiles import profile_by_radius

    observations = observe("cnn:width=4", protocol=protocol, shifts="grid")
    worst = profile_by_radius(observations, 1.0).worst_case_accuracy
    assert value("worst_case_accuracy", observations) <= value("shifted_accuracy", observations)
    assert (np.diff(worst) <= 0).all()
    assert worst[-1] == value("worst_case_accuracy", observations)
