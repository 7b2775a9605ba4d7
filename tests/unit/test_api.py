"""The functions of the package."""

import inspect
import subprocess
import sys
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import cnnshift
from cnnshift.config import DEFAULTS
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.explanation.capture import capture

RNG = np.random.RandomState(0)
SPLIT = Split(RNG.randint(0, 256, (6, 8, 8, 1), dtype=np.uint8), np.arange(6) % 3, ("a", "b", "c"), background=(0.0,))


def linear(images):
    return images.reshape(len(images), -1)[:, :3]


def test_measure_a_function_on_a_split():
    run = cnnshift.measure(linear, SPLIT, max_shift=2)
    assert run.dataset.n == 6
    assert run.protocol.count == 24
    assert run.metric("accuracy").value == np.mean(SPLIT.images.reshape(6, -1)[:, :3].argmax(axis=1) == SPLIT.labels)
    cosine = run.metric("feature_cosine")
    assert (cosine.value, cosine.reason) == (None, "the model does not expose its penultimate features")
    assert run.metric("no such metric") is None


@pytest.mark.parametrize("data", [SPLIT.images, (SPLIT.images, SPLIT.labels, SPLIT.classes), {"images": 0}])
def test_data_that_are_not_images_and_labels(data):
    with pytest.raises(InputError, match=r"data is of type \w+; allowed: a data set spec, a pair"):
        cnnshift.measure(linear, data)


@pytest.mark.parametrize("function", [cnnshift.measure, cnnshift.explain])
def test_several_protocols_are_refused(function):
    with pytest.raises(InputError, match=r"protocol is \['circular', 'zero'\]; allowed: the name of one protocol"):
        function(linear, SPLIT, protocol=["circular", "zero"])


@pytest.mark.parametrize(
    ("model", "options", "parts"),
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
def test_invalid_arguments_raise_one_sentence(model, options, parts):
    with pytest.raises(InputError) as error:
        cnnshift.measure(model, SPLIT, **{"max_shift": 2, **options})
    assert all(part in str(error.value) for part in parts), error.value
    assert "\n" not in str(error.value)


def test_arguments_of_the_wrong_type_raise_one_sentence():
    # In a process without the run-time type checker of the tests.
    code = "\n".join([
        "import cnnshift",
        "for model, radius in (('cnn', 2), (lambda images: 'class 1', 2), (len, 'two')):",
        "    try: cnnshift.measure(model, max_shift=radius)",
        "    except cnnshift.errors.InputError as error: print(error)",
    ])  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    messages = done.stdout.splitlines()
    assert len(messages) == 3
    assert messages[0].startswith("The model 'cnn' must be trained")
    assert messages[1].startswith("The model ")
    assert messages[2].startswith("max_shift is 'two'; allowed: pixels above 0, whole or a fraction such as 1/3")


@pytest.mark.parametrize("protocol", ["fourier", "bilinear"])
def test_fractions_of_a_pixel(protocol):
    run = cnnshift.measure(linear, SPLIT, protocol=protocol)
    assert (run.protocol.count, run.protocol.max_shift, run.protocol.step) == (168, 2, Fraction(1, 3))
    assert run.protocol.information_loss == 0
    assert not run.protocol.exhaustive
    assert run.by_radius.radius == [k / 3 for k in range(1, 7)]
    assert cnnshift.measure(linear, SPLIT, protocol=protocol, step=1 / 3).contract == run.contract
    assert cnnshift.measure(linear, SPLIT, protocol=protocol, step="1/4").contract != run.contract
    whole_pixels = cnnshift.measure(linear, SPLIT, protocol=protocol, step=1)
    assert whole_pixels.by_shift.dy == cnnshift.measure(linear, SPLIT, max_shift=2).by_shift.dy


def test_measuring_keeps_the_training_mode():
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


def test_defaults_are_those_of_the_configuration():
    for function in (cnnshift.measure, cnnshift.explain):
        for name, parameter in inspect.signature(function).parameters.items():
            if name in ("limit", "protocol", "data") or not hasattr(DEFAULTS, name):
                continue
            assert parameter.default == getattr(DEFAULTS, name), (function, name)
