"""The Python API: what it accepts, what it says about the rest."""

import subprocess
import sys
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import cnnshift
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.explanation.capture import capture
from cnnshift.models.base import describe_options, parse_model, parse_options
from cnnshift.spec import ModelSpec

RNG = np.random.RandomState(0)
OWN = Split(RNG.randint(0, 256, (6, 8, 8, 1), dtype=np.uint8), np.arange(6) % 3, ("a", "b", "c"), background=(0.0,))


def linear(images):
    return images.reshape(len(images), -1)[:, :3]


def test_own_images_and_a_plain_function():
    run = cnnshift.measure(linear, OWN, max_shift=2)
    assert run.dataset.n == 6
    assert run.protocol.count == 24
    assert run.metric("accuracy").value == np.mean(OWN.images.reshape(6, -1)[:, :3].argmax(axis=1) == OWN.labels)
    assert "no penultimate features" in run.metric("feature_cosine").reason or run.metric("feature_cosine").reason
    assert run.metric("no such metric") is None


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (lambda images: images, {}, ["returns shape (2, 8, 8, 1)", "k ≥ 3"]),
        (lambda images: linear(images)[:, :2], {}, ["returns shape (2, 2)", "k ≥ 3"]),
        (lambda images: linear(images)[0], {}, ["returns shape (3,)"]),
        (lambda images: images @ jnp.ones((3, 3)), {}, ["cannot be applied to images of shape (n, 8, 8, 1)"]),
        (linear, {"max_shift": 8}, ["max-shift is 8", "7"]),
        (linear, {"step": 1 / 3}, ["step is 1/3", "Only the protocols fourier and bilinear"]),
        (linear, {"step": "0.3333", "protocol": "fourier"}, ["step is '0.3333'", "such as 1/3"]),
        (linear, {"limit": 0}, ["limit is '0'"]),
        (linear, {"metrics": ["accurcy"]}, ["Did you mean 'accuracy'?"]),
        (linear, {"protocol": "rol"}, ["Unknown protocol 'rol'"]),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(model, options, words):
    with pytest.raises(InputError) as problem:
        cnnshift.measure(model, OWN, **{"max_shift": 2, **options})
    assert all(word in str(problem.value) for word in words), problem.value
    assert "\n" not in str(problem.value)


def test_arguments_of_the_wrong_type_are_one_sentence_too():
    # In a process without the type checker that these tests run under.
    code = "\n".join([
        "import cnnshift",
        "for model, radius in (('cnn', 2), (lambda images: 'class 1', 2), (len, 'two')):",
        "    try: cnnshift.measure(model, max_shift=radius)",
        "    except cnnshift.errors.InputError as problem: print(problem)",
    ])  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == 3
    assert said[0].startswith("The model 'cnn' has to be trained")
    assert said[1].startswith("The model ")
    assert said[2].startswith("max_shift is 'two'; allowed: pixels above 0, whole or a fraction such as 1/3")


@pytest.mark.parametrize("protocol", ["fourier", "bilinear"])
def test_fractions_of_a_pixel(protocol):
    run = cnnshift.measure(linear, OWN, protocol=protocol)
    assert (run.protocol.count, run.protocol.max_shift, run.protocol.step) == (168, 2, Fraction(1, 3))
    assert run.protocol.information_loss == 0
    assert not run.protocol.exhaustive
    assert run.by_radius.radius == [k / 3 for k in range(1, 7)]
    assert cnnshift.measure(linear, OWN, protocol=protocol, step=1 / 3).contract == run.contract
    assert cnnshift.measure(linear, OWN, protocol=protocol, step="1/4").contract != run.contract
    whole = cnnshift.measure(linear, OWN, protocol=protocol, step=1)
    assert whole.by_shift.dy == cnnshift.measure(linear, OWN, max_shift=2).by_shift.dy


def test_warning_about_a_limit_above_the_data(caplog):
    from cnnshift.bench.plan import make_plan
    from cnnshift.config import make_config

    plan = make_plan(make_config(models=["mlp:epochs=0"], dataset="shapes", limit=10**6))
    assert f"has {len(plan.test)} test images; using all" in caplog.text


@pytest.mark.parametrize("name", ["mlp", "cnn:pool=blur", "cnn:pool=aps"])
def test_every_described_option_can_be_given_with_its_default(name):
    family, options = parse_model(ModelSpec.parse(name))
    lines = describe_options(options)
    assert all(line.allowed for line in lines)
    given = {line.key: line.default for line in lines} | ModelSpec.parse(name).options
    assert parse_options(family.options_type, name, given) == options


class Opened(nnx.Module):
    """A model of the user's own that shows its features: blocks of pixels, rows × columns of them."""

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
        (Opened(2, 2), 2, ""),
        (Opened(1, 1), 1, ""),
        (Opened(2, 1), None, "differs between the two axes"),
        (Opened(3, 3), None, "(3, 3, 1), which does not divide 8×8 pixels"),
        (Opened(4, 2), None, "differs between the two axes"),
    ],
)
def test_the_stride_of_a_model_of_ones_own(model, stride, reason):
    run = cnnshift.measure(model, OWN, protocol="zero", max_shift=2)
    assert run.by_phase.stride == stride
    assert reason in run.by_phase.reason
    gap = run.metric("phase_spectrum")
    if stride is None:
        assert "total stride is known" in gap.reason
        return
    assert len(run.by_phase.py) == stride**2
    assert sum(run.by_phase.pairs) == 6 * 24
    assert gap.n == (0 if stride == 1 else 6)


def test_a_single_position_has_no_stride():
    class Pooled(Opened):
        def features(self, images):
            return images[:, :3, :1].reshape(len(images), 1, 1, 3)

    assert "single position" in cnnshift.measure(Pooled(1, 1), OWN, max_shift=1).by_phase.reason


def test_the_tables_hold_the_sensitivity_and_the_spread_of_the_survival():
    run = cnnshift.measure(linear, OWN, max_shift=2)
    table, sensitivity = run.by_shift, run.metric("sensitivity")
    assert sensitivity.value == pytest.approx(np.mean(table.sensitivity))
    radius = np.abs([table.dy, table.dx]).max(axis=0)
    for row, r in enumerate(run.by_radius.radius):
        assert run.by_radius.sensitivity[row] == pytest.approx(np.mean(np.array(table.sensitivity)[radius == r]))
        low, high = run.by_radius.survival_ci95[row]
        assert low <= run.by_radius.survival[row] <= high
        assert low < high


def test_without_an_interclass_distance_the_sensitivity_says_why():
    one = Split(OWN.images, np.zeros(6, np.int32), ("a", "b", "c"), background=(0.0,))
    run = cnnshift.measure(linear, one, max_shift=1)
    for table in (run.by_shift, run.by_radius):
        assert table.sensitivity is None
        assert "two classes" in table.sensitivity_reason


def test_a_network_stays_in_training_mode():
    class Network(nnx.Module):
        def __init__(self):
            self.norm = nnx.BatchNorm(1, rngs=nnx.Rngs(0))
            self.drop = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
            self.out = nnx.Linear(1, 3, rngs=nnx.Rngs(0))

        def __call__(self, images):
            return self.out(self.drop(self.norm(images)).mean(axis=(1, 2)))

    network = Network()
    network.train()
    images = np.random.RandomState(0).randint(0, 256, (6, 16, 16, 1), dtype=np.uint8)
    cnnshift.measure(network, (images, np.arange(6) % 3), max_shift=1)
    capture(network, jnp.asarray(images / np.float32(255)))
    assert (network.norm.use_running_average, network.drop.deterministic) == (False, False)
