"""Tracing a network: its layers in order of computation, and their outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.errors import InputError
from cnnshift.explanation.capture import capture
from tests.networks import Functional, Patches, Residual, made

IMAGES = jnp.asarray(np.random.RandomState(0).rand(3, 16, 16, 1), jnp.float32)


def run_captured(model, images=IMAGES):
    captured = capture(model, images)
    return captured, captured.outputs(captured.state, images)


def test_modules_and_functions_are_listed_in_order_with_their_locations():
    captured, outputs = run_captured(made(Functional))
    names = ["conv1", "relu", "max_pool", "conv2", "gelu", "add", "reshape", "out"]
    assert [step.name for step in captured.steps] == names
    assert [step.type for step in captured.steps if step.type != "function"] == ["Conv", "Conv", "Linear"]
    locations = {step.name: step.location for step in captured.steps if step.type == "function"}
    assert locations["relu"] == locations["max_pool"]
    assert all(location.startswith("networks.py:") for location in locations.values())
    assert [step.shape for step in captured.steps] == [output.shape[1:] for output in outputs]


def test_the_outputs_are_those_of_the_network():
    model = made(Functional)
    captured, outputs = run_captured(model)
    value = dict(zip((step.name for step in captured.steps), outputs, strict=True))
    conv1 = model.conv1(IMAGES)
    pooled = nnx.max_pool(nnx.relu(conv1), (2, 2), (2, 2))
    np.testing.assert_array_equal(value["conv1"], conv1)
    np.testing.assert_array_equal(value["max_pool"], pooled)
    np.testing.assert_allclose(value["add"], nnx.gelu(model.conv2(pooled)) + model.position[...], rtol=1e-6)
    np.testing.assert_allclose(value["out"], model(IMAGES), rtol=1e-6)


def test_sections_compute_a_step_from_an_earlier_step():
    captured, outputs = run_captured(made(Residual))
    names = [step.name for step in captured.steps]
    for section, output in zip(captured.sections, outputs, strict=True):
        value = IMAGES if section.source < 0 else outputs[section.source]
        np.testing.assert_allclose(section.run(captured.state, value), output, rtol=1e-6)
    source = {name: section.source for name, section in zip(names, captured.sections, strict=True)}
    relu, c2, shortcut = (names.index(name) for name in ("relu", "c2", "shortcut"))
    assert (source["c1"], source["c2"], source["shortcut"], source["add"]) == (-1, relu, relu, relu)
    assert captured.sections[names.index("add")].through == (c2, shortcut)
    assert captured.sections[shortcut].through == ()


class Base(nnx.Module):
    def __init__(self, *, rngs):
        self.shared = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, x):
        return self.last(self.shared(self.shared(x)))

    def last(self, x):
        return x * 2

    def same(self, x):
        return x


class Derived(Base):
    def last(self, x):
        return super().last(x) + 1

    def _hidden(self, x):
        return x


def test_inherited_methods_and_repeated_calls_are_listed():
    captured, _ = run_captured(Derived(rngs=nnx.Rngs(0)), jnp.ones((3, 2, 2, 4)))
    assert [step.name for step in captured.steps] == ["shared", "shared (2)", "mul", "last"]


def test_patched_classes_are_restored():
    before = dict(vars(Base)), dict(vars(Derived)), dict(vars(nnx.Linear))
    capture(Derived(rngs=nnx.Rngs(0)), jnp.ones((3, 2, 2, 4)))
    with pytest.raises(InputError, match="cannot be traced"):
        capture(Derived(rngs=nnx.Rngs(0)), jnp.ones((3, 2, 2, 5)))
    assert (dict(vars(Base)), dict(vars(Derived)), dict(vars(nnx.Linear))) == before


def test_a_nested_trace_is_one_step():
    class Jitted(nnx.Module):
        def __init__(self):
            self.inner = nnx.Linear(4, 4, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return nnx.jit(lambda inner, x: inner(x))(self.inner, x) + 1

    captured, outputs = run_captured(Jitted(), jnp.ones((3, 2, 2, 4)))
    assert captured.steps[-1].name == "add"
    np.testing.assert_allclose(outputs[-1], Jitted()(jnp.ones((3, 2, 2, 4))), rtol=1e-6)


def test_functions_and_transformers_are_traced():
    captured, _ = run_captured(lambda x: jax.nn.relu(x).mean(axis=(1, 2)))
    assert [step.name for step in captured.steps] == ["relu", "mean"]
    names = [step.name for step in run_captured(made(Patches, embedded=True))[0].steps]
    assert names[:3] == ["embed", "reshape", "add"]
    assert "attention: dot_product_attention" in names
