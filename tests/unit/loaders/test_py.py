"""`py:`: results and options of factories, invalid specs, and functions that run on the host."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnshift
from cnnshift.errors import InputError, MeasurementError
from cnnshift.loaders.host_callback import host_callback, in_batches
from tests import external_models
from tests.external_models import DATA, load


@pytest.fixture
def factories(tmp_path):
    return external_models.write_factories(tmp_path)


@pytest.mark.parametrize("factory", ["nnx", "linen", "plain"])
def test_results_of_factories(factories, factory):
    network = load(f"py:{factories}:{factory}")
    images = np.float32(DATA.images / 255)
    np.testing.assert_allclose(network.model(images), external_models.logits(images), rtol=1e-5, atol=1e-5)
    run = cnnshift.measure(f"py:{factories}:{factory}", DATA, max_shift=1)
    assert run.metric("accuracy").value == np.mean(external_models.logits(images).argmax(axis=1) == DATA.labels)
    assert (run.family, run.family_version, run.training.cached) == ("py", None, False)
    # The weights of a function are not visible, and operations on the host are not counted.
    assert run.params == (None if factory == "plain" else 132)
    assert (run.flops is None) == (factory == "plain")


def test_factory_of_an_importable_module(tmp_path, monkeypatch):
    external_models.write_factories(tmp_path).rename(tmp_path / "my_networks.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("py:my_networks:plain").model is external_models.logits


def test_options_are_converted_to_annotated_types(factories):
    load(f"py:{factories}:options:whole=3,part=2,flag=True,text=7,bare=8,number=0.5")
    load(f"py:{factories}:evaluated:a=1,b=two")
    factories.write_text("from __future__ import annotations\n" + factories.read_text())
    load(f"py:{factories}:options:whole=3,part=2,flag=true,text=7,bare=8,number=0.5")


def test_digest_depends_on_the_code(factories):
    before = load(f"py:{factories}:plain").digest
    factories.write_text(factories.read_text() + "# changed\n")
    assert before != load(f"py:{factories}:plain").digest


INVALID = {
    "no factory": ("", "write py:package.module:factory"),
    "no file": ("missing.py:make", "missing.py', which does not exist"),
    "no module": ("no_such_module:make", "The module no_such_module cannot be imported: ModuleNotFoundError"),
    "no such function": ("{factories}:mkae", "has no function 'mkae'; it has: nnx, normed"),
    "no function": ("{factories}:value", "has no function 'value'"),
    "raises": ("{factories}:raises", "raises RuntimeError: no such checkpoint."),
    "exits": ("{factories}:exits", "raises SystemExit: 0."),
    "nothing": ("{factories}:nothing", "returned NoneType; allowed: a Flax NNX module"),
    "unknown option": ("{factories}:nnx:width=3", "has no option 'width'; allowed: hidden, zero."),
    "no options": ("{factories}:plain:a=1", "has no option 'a'; allowed: none."),
    "missing option": ("{factories}:options", "needs the option 'whole'"),
    "no whole number": ("{factories}:options:whole=3.5", "The option whole of", "is '3.5'; allowed: int."),
    "no truth": ("{factories}:options:whole=3,flag=yes", "is 'yes'; allowed: true, false."),
    "weights of a function": ("{factories}:plain:weights=w.safetensors", "only for a Flax NNX module"),
}


@pytest.mark.parametrize(("spec", "parts"), [(spec, parts) for spec, *parts in INVALID.values()], ids=INVALID)
def test_invalid_specs(factories, spec, parts):
    with pytest.raises(InputError) as error:
        load("py:" + spec.replace("{factories}", str(factories)))
    assert all(part in str(error.value) for part in parts), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def make(:", "SyntaxError"),
        ("import no_such_thing", "No module named 'no_such_thing'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_file_that_cannot_be_imported(tmp_path, code, message):
    (tmp_path / "networks.py").write_text(code)
    with pytest.raises(InputError, match=r"networks\.py cannot be imported") as error:
        load(f"py:{tmp_path / 'networks.py'}:make")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("few", "returns shape (2, 4) for 2 images; allowed: logits [n k] with k ≥ 5"),
        ("many", "has 6 classes, but the data have 5; name the model's"),
        ("flat", "returns shape (1,) for 1 images; allowed: logits [n k]"),
        ("words", "returns list for 1 images; allowed: an array [n k]"),
    ],
)
def test_outputs_that_do_not_fit_the_data(factories, factory, message):
    with pytest.raises(InputError) as error:
        cnnshift.measure(f"py:{factories}:{factory}", DATA, max_shift=1)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_logits_that_are_not_finite(factories):
    with pytest.raises(cnnshift.errors.CnnshiftError) as error:
        cnnshift.measure(f"py:{factories}:nan", DATA, max_shift=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 12])
def test_in_batches_of_a_fixed_size(size):
    sizes = []

    def function(images):
        sizes.append(len(images))
        return external_models.logits(images)

    images = np.float32(DATA.images / 255)
    np.testing.assert_allclose(in_batches(function, size, size)(images), external_models.logits(images), rtol=1e-5)
    assert set(sizes) == {size}


@pytest.mark.parametrize(
    ("n", "smallest", "largest", "expected"),
    [(12, 1, None, [12]), (12, 1, 5, [4, 4, 4]), (2, 3, 5, [3]), (7, 4, 5, [4, 4]), (1, 3, None, [3])],
)
def test_in_batches_of_a_range(n, smallest, largest, expected):
    sizes = []

    def function(images):
        sizes.append(len(images))
        return external_models.logits(images)

    images = np.float32(DATA.images[:n] / 255)
    np.testing.assert_allclose(
        in_batches(function, smallest, largest)(images), external_models.logits(images), rtol=1e-5, atol=1e-6
    )
    assert sizes == expected


def test_large_arrays_on_the_host(factories):
    images = np.random.RandomState(0).randint(0, 256, (160, 64, 64, 3), dtype=np.uint8)
    data = cnnshift.Split(images, np.arange(160) % 5, external_models.NAMES, background=(0.0, 0.0, 0.0))
    run = cnnshift.measure(f"py:{factories}:pixels", data, max_shift=1, batch_size=128)
    assert run.metric("accuracy").value == np.mean(images.reshape(160, -1)[:, :5].argmax(axis=1) == data.labels)


def test_host_callback_returns_the_outputs():
    call = host_callback(lambda images: images.sum(axis=(1, 2)))
    assert call(jnp.ones((3, 4, 4, 2))).tolist() == [[16.0, 16.0]] * 3


def test_host_callback_with_a_batch_limit():
    sizes = []

    def function(images):
        sizes.append(len(images))
        return images.sum(axis=(1, 2))

    images = np.random.RandomState(0).rand(7, 4, 4, 2).astype(np.float32)
    whole = host_callback(function)
    found = jax.jit(whole.with_max_batch(3))(images)
    assert sizes == [1, 3, 2, 2]
    np.testing.assert_array_equal(found, jax.jit(whole)(images))
    # The call that determines the number of classes is not repeated.
    assert sizes[4:] == [7]


def test_host_callback_under_vmap():
    call = host_callback(lambda images: images.sum(axis=(1, 2)))
    images = np.random.RandomState(0).rand(2, 3, 4, 4, 2).astype(np.float32)
    for axis in (0, 1):
        found = jax.jit(jax.vmap(call, in_axes=axis))(images)
        np.testing.assert_allclose(found, np.moveaxis(images, axis, 0).sum(axis=(2, 3)), rtol=1e-5)


def test_concurrent_host_callbacks_do_not_deadlock():
    # jax.pure_callback deadlocks here.
    program = jax.jit(host_callback(lambda images: images.reshape(len(images), -1)[:, :2]))
    images = jnp.ones((64, 64, 64, 3))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda factor: np.asarray(program(factor * images)), range(24)):
            assert found.shape == (64, 2)


def test_functions_are_not_called_concurrently(factories):
    external_models.CONCURRENT_CALLS.clear()
    cnnshift.measure(f"py:{factories}:sequential", DATA, max_shift=1, batch_size=3)
    assert set(external_models.CONCURRENT_CALLS) == {1}


def test_error_during_the_sweep(factories):
    with pytest.raises(InputError) as error:
        cnnshift.measure(f"py:{factories}:few_at_a_time", DATA, max_shift=1, batch_size=6)
    assert str(error.value) == "The model cannot be applied to these images: RuntimeError: more than three."
    # It does not affect later sweeps.
    with pytest.raises(MeasurementError, match="finite"):
        cnnshift.measure(f"py:{factories}:nan", DATA, max_shift=1)


def test_digest_of_a_linen_pair_depends_on_its_weights(factories, monkeypatch):
    def digest():
        return cnnshift.measure(f"py:{factories}:linen", DATA, max_shift=1).weights_digest

    before = digest()
    assert digest() == before
    monkeypatch.setattr(external_models, "FACTOR", 2.0)
    assert digest() != before


def test_run_does_not_contain_absolute_paths(factories, tmp_path, monkeypatch):
    run = cnnshift.measure(
        f"py:{factories}:options:whole=3,part=2,flag=True,text=7,bare=8,number=0.5", DATA, max_shift=1
    )
    assert run.model == "py:networks.py:options:whole=3,part=2,flag=True,text=7,bare=8,number=0.5"
    assert str(tmp_path) not in run.model_dump_json()
    # Relative paths stay: two files may have the same name.
    monkeypatch.chdir(tmp_path.parent)
    assert load(f"py:{tmp_path.name}/networks.py:plain").name == f"py:{tmp_path.name}/networks.py:plain"


def test_function_of_numpy_arrays():
    run = cnnshift.measure(lambda images: external_models.logits(np.asarray(images)), DATA, max_shift=1)
    assert run.metric("accuracy").value == np.mean(
        external_models.logits(np.float32(DATA.images / 255)).argmax(1) == DATA.labels
    )
    with pytest.raises(InputError, match="layers and derivatives cannot be computed"):
        cnnshift.explain(lambda images: external_models.logits(np.asarray(images)), DATA, max_shift=1)
