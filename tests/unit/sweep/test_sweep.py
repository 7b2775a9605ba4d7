"""The direct engine against a loop over images and shifts."""

import functools
from fractions import Fraction
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.catalog import PROTOCOLS
from cnnshift.data.split import Split
from cnnshift.errors import MeasurementError
from cnnshift.models.layers.initializers import lecun_normal
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.sweep import batching, engine
from cnnshift.sweep.pure_model import PureModel, as_pure_model
from cnnshift.sweep.sweep_inputs import SweepInputs

N, SIZE, CONTEXT, CLASSES = 7, 6, 2, 4
rng = np.random.default_rng(0)
SPLIT = Split(
    images=rng.integers(0, 256, (N, SIZE + 2 * CONTEXT, SIZE + 2 * CONTEXT, 3), np.uint8),
    labels=rng.integers(0, CLASSES, N).astype(np.int32),
    classes=("a", "b", "c", "d"),
    background=(0.0, 0.0, 0.0),
    context=CONTEXT,
)


class Net(nnx.Module):
    """A small network with the three methods of a model family."""

    def __init__(self, *, rngs):
        self.hidden = nnx.Linear(SIZE * SIZE * 3, 9, kernel_init=lecun_normal(), rngs=rngs)
        self.out = nnx.Linear(9, CLASSES, kernel_init=lecun_normal(), rngs=rngs)

    def features(self, images):
        return images

    def embed(self, features):
        return jnp.tanh(self.hidden(features.reshape(len(features), -1)))

    def classify(self, embedding):
        return self.out(embedding)

    def __call__(self, images):
        return self.classify(self.embed(self.features(images)))


@functools.cache
def net():
    return Net(rngs=nnx.Rngs(0))


FRACTIONAL = [name for name in PROTOCOLS if PROTOCOLS.load(name).fractional]


def sweep(name="circular", shifts="grid", max_shift=2, step=1, model=None, split=SPLIT, **options):
    protocol = PROTOCOLS.load(name)
    shift_set = enumerate_shifts(
        shifts,
        max_shift=max_shift,
        step=step,
        size=split.size,
        wraps=protocol.wraps,
        images=len(split),
        fractional=protocol.fractional,
    )
    moving = protocol(split.size, reach=shift_set.reach, context=split.context, background=split.background)
    return engine.run_sweep(model or as_pure_model(net()), split, moving, shift_set, **options)


@functools.cache
def forward_pass(name):
    """Return the protocol, and a program that computes logits and embedding of a shifted image."""
    protocol = PROTOCOLS.load(name)(SPLIT.size, reach=CONTEXT, context=CONTEXT, background=SPLIT.background)

    @jax.jit
    def run(pixels, d):
        image = protocol.shift(pixels, d)
        return net()(image), net().embed(image)

    return protocol, run


def brute_force(name, shifts):
    """Compute all observations with one forward pass per image and shift."""
    protocol, run = forward_pass(name)
    softmax = lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum()  # noqa: E731
    rows = []
    for n in range(N):
        pixels = jnp.asarray(SPLIT.images[n : n + 1] / np.float32(255))
        image_shifts = shifts[n] if shifts.ndim == 3 else shifts

        def forward(d, pixels=pixels):
            outputs = run(pixels, np.asarray(d, np.float32 if protocol.fractional else np.int32))
            return tuple(np.asarray(output)[0].astype(float) for output in outputs)

        f0, e0 = forward((0, 0))
        c, y = f0.argmax(), SPLIT.labels[n]
        shifted = [forward(d) for d in image_shifts]
        rows.append(
            {
                "reference_prediction": c,
                "reference_probability": softmax(f0)[c],
                "reference_label_probability": softmax(f0)[y],
                "reference_logits": f0,
                "prediction": [f.argmax() for f, _ in shifted],
                "probability": [softmax(f)[c] for f, _ in shifted],
                "label_probability": [softmax(f)[y] for f, _ in shifted],
                "distance": [np.linalg.norm(f - f0) for f, _ in shifted],
                "cosine": [e @ e0 / np.linalg.norm(e) / np.linalg.norm(e0) for _, e in shifted],
                "logit_change": np.mean([f - f0 for f, _ in shifted], axis=0),
                "logit_square_change": np.mean([(f - f0) ** 2 for f, _ in shifted], axis=0),
                "_change": [f - f0 for f, _ in shifted],
            }
        )
    table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    table["shift_logit_change"] = table.pop("_change").mean(axis=0)
    return table


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("shifts", ["grid", "axis", "diagonal", "random:5"])
def test_observations_equal_brute_force(name, shifts):
    observations = sweep(name, shifts).observations
    for field, expected in brute_force(name, observations.shifts).items():
        np.testing.assert_allclose(getattr(observations, field), expected, rtol=1e-4, atol=2e-5, err_msg=field)
    np.testing.assert_array_equal(observations.labels, SPLIT.labels)


@pytest.mark.parametrize("name", FRACTIONAL)
@pytest.mark.parametrize("shifts", ["grid", "diagonal", "random:5"])
def test_observations_at_fractions_equal_brute_force(name, shifts, monkeypatch):
    # The last block and the last batch are padded.
    monkeypatch.setattr(engine, "SweepInputs", functools.partial(SweepInputs, block_shifts=9))
    found = sweep(name, shifts, max_shift=1, step=Fraction(1, 3), batch_size=3)
    observations = found.observations
    assert found.engine == "direct"
    assert (observations.shifts.dtype, observations.radius.max()) == (np.float64, 1)
    for field, expected in brute_force(name, observations.shifts).items():
        np.testing.assert_allclose(getattr(observations, field), expected, rtol=1e-4, atol=2e-5, err_msg=field)


@functools.cache
def cached_sweep(**options):
    """Return a sweep that several tests compare with."""
    return sweep(**options)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 64])
def test_batch_size_changes_nothing(batch_size):
    one, other = cached_sweep(batch_size=5).observations, sweep(batch_size=batch_size).observations
    np.testing.assert_array_equal(one.prediction, other.prediction)
    for field in ("probability", "label_probability", "distance", "cosine", "logit_change", "shift_logit_change"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), atol=1e-6, err_msg=field)


@pytest.mark.parametrize("width", [2, 3, 8])
@pytest.mark.parametrize("shifts", ["grid", "random:5"])
def test_width_changes_nothing(width, shifts):
    one, other = cached_sweep(shifts=shifts).observations, sweep(shifts=shifts, width=width).observations
    np.testing.assert_array_equal(one.prediction, other.prediction)
    for field in ("probability", "distance", "cosine", "logit_square_change", "shift_logit_change"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), atol=1e-6, err_msg=field)


def test_several_blocks_equal_one_block(monkeypatch):
    one = sweep("zero").observations
    monkeypatch.setattr(engine, "SweepInputs", functools.partial(SweepInputs, block_shifts=5))
    several = sweep("zero").observations
    np.testing.assert_array_equal(one.prediction, several.prediction)
    np.testing.assert_allclose(one.logit_change, several.logit_change, atol=1e-6)
    np.testing.assert_allclose(one.shift_logit_change, several.shift_logit_change, atol=1e-6)


@pytest.mark.parametrize(("name", "step"), [("zero", 1), ("fourier", Fraction(2, 3))])
def test_one_compilation_per_sweep(name, step):
    traced = []
    inner = as_pure_model(net())

    def apply(state, images):
        traced.append(images.shape)
        return inner.apply(state, images)

    sweep(name, step=step, model=PureModel(apply, inner.state), batch_size=3)
    # Once in the reference program and once in the block program, for all shifts and batches.
    assert traced == [(3, SIZE, SIZE, 3)] * 2


def test_progress_counts_every_image_shift():
    done = []
    sweep(progress=done.append, batch_size=3)
    assert sum(done) == N * 24


def test_out_of_memory_halves_the_batch(monkeypatch):
    tried, progress = [], []
    inner = engine._sweep_direct

    def hungry(*arguments):
        tried.append(batch := arguments[-1])
        if batch > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return inner(*arguments)

    monkeypatch.setattr(engine, "_sweep_direct", hungry)
    found = sweep(batch_size=7, progress=progress.append, engine="direct")
    assert tried == [7, 3, 1]
    assert found.batch_size == 1
    assert sum(progress) == N * 24
    np.testing.assert_array_equal(
        found.observations.prediction, brute_force("circular", found.observations.shifts)["prediction"]
    )


def test_one_image_does_not_fit_into_memory(monkeypatch):
    def full(*arguments):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(engine, "_sweep_direct", full)
    with pytest.raises(MeasurementError, match="One image does not fit"):
        sweep(engine="direct")


def test_other_runtime_errors_are_not_swallowed(monkeypatch):
    def broken(*arguments):
        raise jax.errors.JaxRuntimeError("INTERNAL: boom")

    monkeypatch.setattr(engine, "_sweep_direct", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="boom"):
        sweep(engine="direct")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(bad):
    def apply(state, images):
        return jnp.where(images[:, :1, 0, 0] > 0.9, bad, 0.0) * jnp.ones((1, CLASSES)), None

    with pytest.raises(MeasurementError, match="not finite"):
        sweep(model=PureModel(apply, {}))


def test_function_has_no_features():
    observations = sweep(
        model=as_pure_model(lambda images: images.mean(axis=(1, 2)) @ jnp.ones((3, CLASSES)))
    ).observations
    assert observations.cosine is None


def test_parameters_and_digest_describe_the_weights():
    model = as_pure_model(net())
    assert model.parameters == (SIZE * SIZE * 3 + 1) * 9 + 10 * CLASSES
    assert model.digest == as_pure_model(Net(rngs=nnx.Rngs(0))).digest
    assert model.digest != as_pure_model(Net(rngs=nnx.Rngs(1))).digest


@pytest.mark.parametrize(
    ("seconds", "tried", "fastest"),
    [
        # One call evaluates all 24 shifts: twice the width must be at least 5 % faster to go on.
        ({1: 1.0, 2: 0.6, 4: 0.4, 8: 0.39}, [1, 2, 4, 8], 4),
        ({1: 1.0, 2: 1.1}, [1, 2], 1),
        ({1: 1.0, 2: 0.9, 4: 0.8, 8: 0.7, 16: 0.6}, [1, 2, 4, 8, 16], 16),
    ],
)
def test_fastest_width_is_chosen_outside_of_cpus(monkeypatch, seconds, tried, fastest):
    clock, widths, compile_block = [0.0], [], batching.compile_block

    def compile_timed(inputs, reference, batch, width):
        block = compile_block(inputs, reference, batch, width)
        widths.append(width)

        def call(*arguments):
            clock[0] += seconds[width]
            return block(*arguments)

        return call

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(batching, "compile_block", compile_timed)
    monkeypatch.setattr(batching, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    found = sweep(engine="direct")
    assert (widths, found.width) == (tried, fastest)
    np.testing.assert_array_equal(found.observations.prediction, cached_sweep().observations.prediction)


def test_padded_images_do_not_affect_others():
    # 0 / 0 on a black image.
    def apply(state, images):
        flat = images.reshape(len(images), -1)
        return (flat / jnp.linalg.norm(flat, axis=1, keepdims=True))[:, :CLASSES], None

    full, padded = (sweep(model=PureModel(apply, {}), batch_size=size).observations for size in (7, 4))
    np.testing.assert_allclose(padded.shift_logit_change, full.shift_logit_change, atol=1e-6)
    assert np.isfinite(padded.shift_logit_change).all()


def test_float_images_equal_bytes():
    floats = Split(SPLIT.images / np.float32(255), SPLIT.labels, SPLIT.classes, SPLIT.background, SPLIT.context)
    np.testing.assert_allclose(sweep(split=floats).observations.distance, sweep().observations.distance, atol=1e-5)


def test_all_circular_shifts_of_images_that_are_not_square():
    split = Split(SPLIT.images[:, :4, :], SPLIT.labels, SPLIT.classes, SPLIT.background)
    model = as_pure_model(lambda images: images.mean(axis=(1, 2)) @ jnp.ones((3, CLASSES)))
    assert sweep(shifts="full", split=split, model=model).observations.prediction.shape == (N, 4 * 10 - 1)


def test_digest_of_a_model_with_random_state():
    class Dropped(Net):
        def __init__(self, *, rngs):
            super().__init__(rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

    assert len(as_pure_model(Dropped(rngs=nnx.Rngs(0))).digest) == 64
