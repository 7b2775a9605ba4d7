"""The Python API: what it accepts, what it says about the rest."""

import subprocess
import sys
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

import cnnshift
from cnnshift.data.base import Split
from cnnshift.errors import InputError
from cnnshift.models.base import describe_options, parse_model, parse_options
from cnnshift.spec import parse_spec

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
        (lambda images: images, {}, ["gives shape (2, 8, 8, 1)", "at least k = 3"]),
        (lambda images: linear(images)[:, :2], {}, ["gives shape (2, 2)", "at least k = 3"]),
        (lambda images: linear(images)[0], {}, ["gives shape (3,)"]),
        (lambda images: images @ jnp.ones((3, 3)), {}, ["cannot be applied to images of shape (n, 8, 8, 1)"]),
        (linear, {"max_shift": 8}, ["max-shift is 8", "7"]),
        (linear, {"step": 1 / 3}, ["step is 1/3", "only the protocols fourier and bilinear"]),
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
    assert said[0].startswith("model is 'cnn'; a Flax NNX module")
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


@pytest.mark.parametrize(("step", "warned"), [("1/2", True), (1.5, True), ("1/4", False), ("1/3", False), (1, False)])
def test_halves_alone_are_warned_of(step, warned, caplog):
    cnnshift.measure(linear, OWN, protocol="fourier", step=step, metrics=["accuracy"])
    assert ("the only fractions of a pixel are halves" in caplog.text) == warned


def test_a_limit_above_the_data_is_told(caplog):
    from cnnshift.bench.plan import make_plan
    from cnnshift.config import checked

    plan = make_plan(checked(models=["mlp:epochs=0"], dataset="shapes", limit=10**6))
    assert f"has {len(plan.test)} test images; all are taken" in caplog.text


@pytest.mark.parametrize("name", ["mlp", "cnn:pool=blur", "cnn:pool=aps"])
def test_every_described_option_can_be_given_with_its_default(name):
    family, options = parse_model(parse_spec(name, "model"))
    lines = describe_options(options)
    assert all(line.allowed for line in lines)
    given = {line.key: line.default for line in lines} | parse_spec(name, "model").options
    assert parse_options(family.options_type, name, given) == options
