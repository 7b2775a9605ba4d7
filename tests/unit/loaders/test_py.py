"""`py:`: what factories may return, how options reach them, and what is said about everything else."""

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
def own(tmp_path):
    return external_models.write_factories(tmp_path)


@pytest.mark.parametrize("factory", ["nnx", "linen", "plain"])
def test_what_a_factory_returns(own, factory):
    network = load(f"py:{own}:{factory}")
    images = np.float32(DATA.images / 255)
    np.testing.assert_allclose(network.model(images), external_models.logits(images), rtol=1e-5, atol=1e-5)
    run = cnnshift.measure(f"py:{own}:{factory}", DATA, max_shift=1)
    assert run.metric("accuracy").value == np.mean(external_models.logits(images).argmax(axis=1) == DATA.labels)
    assert (run.family, run.family_version, run.training.cached) == ("py", None, False)
    # A plain function hides its weights, and what runs on the host is not counted.
    assert run.params == (None if factory == "plain" else 132)
    assert (run.flops is None) == (factory == "plain")


def test_a_module_by_its_name(tmp_path, monkeypatch):
    external_models.write_factories(tmp_path).rename(tmp_path / "own_networks.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("py:own_networks:plain").model is external_models.logits


def test_options_become_what_the_factory_says(own):
    load(f"py:{own}:options:whole=3,part=2,flag=True,text=7,bare=8,number=0.5")
    load(f"py:{own}:evaluated:a=1,b=two")
    own.write_text("from __future__ import annotations\n" + own.read_text())
    load(f"py:{own}:options:whole=3,part=2,flag=true,text=7,bare=8,number=0.5")


def test_another_code_is_another_network(own):
    before = load(f"py:{own}:plain").digest
    own.write_text(own.read_text() + "# changed\n")
    assert before != load(f"py:{own}:plain").digest


BAD = {
    "no factory": ("", "write py:package.module:factory"),
    "no file": ("missing.py:make", "missing.py, which does not exist"),
    "no module": ("no_such_module:make", "The module no_such_module cannot be imported: ModuleNotFoundError"),
    "no such function": ("{own}:mkae", "has no function 'mkae'; it has: nnx, normed"),
    "no function": ("{own}:value", "has no function 'value'"),
    "raises": ("{own}:raises", "raises RuntimeError: no such checkpoint."),
    "leaves": ("{own}:leaves", "raises SystemExit: 0."),
    "nothing": ("{own}:nothing", "returned NoneType; allowed: a Flax NNX module"),
    "unknown option": ("{own}:nnx:width=3", "has no option 'width'; allowed: hidden, zero."),
    "no options": ("{own}:plain:a=1", "has no option 'a'; allowed: none."),
    "missing option": ("{own}:options", "needs the option 'whole'"),
    "no whole number": ("{own}:options:whole=3.5", "The option whole of", "is '3.5'; allowed: int."),
    "no truth": ("{own}:options:whole=3,flag=yes", "is 'yes'; allowed: true, false."),
    "weights of a function": ("{own}:plain:weights=w.safetensors", "only for a Flax NNX module"),
}


@pytest.mark.parametrize(("spec", "words"), [(spec, words) for spec, *words in BAD.values()], ids=BAD)
def test_what_cannot_be_opened_is_one_sentence(own, spec, words):
    with pytest.raises(InputError) as problem:
        load("py:" + spec.replace("{own}", str(own)))
    assert all(word in str(problem.value) for word in words), problem.value
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def make(:", "SyntaxError"),
        ("import no_such_thing", "No module named 'no_such_thing'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_file_that_cannot_be_imported(tmp_path, code, said):
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(InputError, match=r"own\.py cannot be imported") as problem:
        load(f"py:{tmp_path / 'own.py'}:make")
    assert said in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("few", "returns shape (2, 4) for 2 images; allowed: logits [n k] with k ≥ 5"),
        ("many", "has 6 classes, but the data have 5; name the model's"),
        ("flat", "returns shape (1,) for 1 images; allowed: logits [n k]"),
        ("words", "returns list for 1 images; allowed: an array [n k]"),
    ],
)
def test_what_does_not_fit_the_data(own, factory, said):
    with pytest.raises(InputError) as problem:
        cnnshift.measure(f"py:{own}:{factory}", DATA, max_shift=1)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_numbers_that_are_none(own):
    with pytest.raises(cnnshift.errors.CnnshiftError) as problem:
        cnnshift.measure(f"py:{own}:nan", DATA, max_shift=1)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 12])
def test_a_fixed_number_of_images(size):
    seen = []

    def function(images):
        seen.append(len(images))
        return external_models.logits(images)

    images = np.float32(DATA.images / 255)
    np.testing.assert_allclose(in_batches(function, size)(images), external_models.logits(images), rtol=1e-5)
    assert set(seen) == {size}


def test_large_arrays_cross_over_and_back(own):
    images = np.random.RandomState(0).randint(0, 256, (160, 64, 64, 3), dtype=np.uint8)
    data = cnnshift.Split(images, np.arange(160) % 5, external_models.NAMES, background=(0.0, 0.0, 0.0))
    run = cnnshift.measure(f"py:{own}:pixels", data, max_shift=1, batch_size=128)
    assert run.metric("accuracy").value == np.mean(images.reshape(160, -1)[:, :5].argmax(axis=1) == data.labels)


def test_a_traced_call_back_knows_its_shape():
    call = host_callback(lambda images: images.sum(axis=(1, 2)))
    assert call(jnp.ones((3, 4, 4, 2))).tolist() == [[16.0, 16.0]] * 3


def test_a_call_back_in_several_calls():
    sizes = []

    def function(images):
        sizes.append(len(images))
        return images.sum(axis=(1, 2))

    images = np.random.RandomState(0).rand(7, 4, 4, 2).astype(np.float32)
    whole = host_callback(function)
    found = jax.jit(whole.with_max_batch(3))(images)
    assert sizes == [1, 3, 2, 2]
    np.testing.assert_array_equal(found, jax.jit(whole)(images))
    # Of the one image that tells the classes, no second is asked for.
    assert sizes[4:] == [7]


def test_a_call_back_of_several_batches():
    call = host_callback(lambda images: images.sum(axis=(1, 2)))
    images = np.random.RandomState(0).rand(2, 3, 4, 4, 2).astype(np.float32)
    for axis in (0, 1):
        found = jax.jit(jax.vmap(call, in_axes=axis))(images)
        np.testing.assert_allclose(found, np.moveaxis(images, axis, 0).sum(axis=(2, 3)), rtol=1e-5)


def test_call_backs_on_every_thread_come_back():
    # With jax.pure_callback, this stands still.
    program = jax.jit(host_callback(lambda images: images.reshape(len(images), -1)[:, :2]))
    images = jnp.ones((64, 64, 64, 3))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda factor: np.asarray(program(factor * images)), range(24)):
            assert found.shape == (64, 2)


def test_a_function_is_called_one_at_a_time(own):
    external_models.SEEN_AT_ONCE.clear()
    cnnshift.measure(f"py:{own}:alone", DATA, max_shift=1, batch_size=3)
    assert set(external_models.SEEN_AT_ONCE) == {1}


def test_what_fails_in_the_sweep_is_one_sentence(own):
    with pytest.raises(InputError) as problem:
        cnnshift.measure(f"py:{own}:few_at_a_time", DATA, max_shift=1, batch_size=6)
    assert str(problem.value) == "The model cannot be applied to these images: RuntimeError: more than three."
    # It is no reason to suspect what fails otherwise.
    with pytest.raises(MeasurementError, match="finite"):
        cnnshift.measure(f"py:{own}:nan", DATA, max_shift=1)


def test_the_digest_of_a_linen_pair_is_that_of_its_weights(own, monkeypatch):
    def digest():
        return cnnshift.measure(f"py:{own}:linen", DATA, max_shift=1).weights_digest

    before = digest()
    assert digest() == before
    monkeypatch.setattr(external_models, "FACTOR", 2.0)
    assert digest() != before


def test_no_folder_of_this_machine_is_on_record(own, tmp_path, monkeypatch):
    run = cnnshift.measure(f"py:{own}:options:whole=3,part=2,flag=True,text=7,bare=8,number=0.5", DATA, max_shift=1)
    assert run.model == "py:own.py:options:whole=3,part=2,flag=True,text=7,bare=8,number=0.5"
    assert str(tmp_path) not in run.model_dump_json()
    # What was given from the present folder stays: two networks may have one name.
    monkeypatch.chdir(tmp_path.parent)
    assert load(f"py:{tmp_path.name}/own.py:plain").name == f"py:{tmp_path.name}/own.py:plain"


def test_a_function_of_numpy_arrays_is_measured_without_a_spec():
    run = cnnshift.measure(lambda images: external_models.logits(np.asarray(images)), DATA, max_shift=1)
    assert run.metric("accuracy").value == np.mean(
        external_models.logits(np.float32(DATA.images / 255)).argmax(1) == DATA.labels
    )
    with pytest.raises(InputError, match="layers and derivatives cannot be computed"):
        cnnshift.explain(lambda images: external_models.logits(np.asarray(images)), DATA, max_shift=1)
