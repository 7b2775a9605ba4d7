"""Training: the recipe, the loop, and the cache of weights."""

import json
import logging

import jax
import numpy as np
import pytest

from cnnshift.data.split import Split
from cnnshift.errors import InputError, MeasurementError
from cnnshift.spec import ModelSpec
from cnnshift.train import load_or_train as training
from cnnshift.train.fit import fit
from cnnshift.train.recipe import Recipe

rng = np.random.default_rng(0)
LABELS = np.arange(96, dtype=np.int32) % 2
# Two classes that differ in brightness.
IMAGES = (rng.integers(0, 80, (96, 8, 8, 1)) + 120 * LABELS[:, None, None, None]).astype(np.uint8)
SPLIT = Split(IMAGES, LABELS, ("dark", "bright"), (0.0,))


def plan(text="mlp:width=8,epochs=4"):
    return training.plan_training(ModelSpec.parse(text), SPLIT)


def weights(trained):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(training.nnx.state(trained.model))]


@pytest.fixture(autouse=True)
def temporary_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNSHIFT_CACHE_DIR", str(tmp_path))


def test_training_learns_and_reports_every_step():
    steps = []
    trained = training.load_or_train(plan("mlp:width=8,epochs=40"), SPLIT, seed=0, progress=steps.append)
    assert sum(steps) == Recipe(epochs=40).steps(96) == 60
    assert not trained.provenance.cached
    assert trained.provenance.loss < 0.5
    predicted = np.asarray(trained.model(jax.numpy.asarray(SPLIT.windows / np.float32(255)))).argmax(-1)
    assert (predicted == LABELS).mean() > 0.9


def test_the_second_call_reads_identical_weights_from_the_cache():
    first = training.load_or_train(plan(), SPLIT, seed=0)
    second = training.load_or_train(plan(), SPLIT, seed=0)
    assert second.provenance.cached
    assert second.provenance.loss == first.provenance.loss
    for a, b in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_is_seeded():
    first = training.load_or_train(plan(), SPLIT, seed=0)
    for path in training.weights_path().parent.glob("*"):
        path.unlink()
    again, other = training.load_or_train(plan(), SPLIT, seed=0), training.load_or_train(plan(), SPLIT, seed=1)
    assert not again.provenance.cached
    assert all((a == b).all() for a, b in zip(weights(first), weights(again), strict=True))
    assert any((a != b).any() for a, b in zip(weights(first), weights(other), strict=True))


@pytest.mark.parametrize("change", ["seed", "recipe", "options", "data", "augment"])
def test_the_cache_key_depends_on_seed_recipe_options_and_data(change):
    training.load_or_train(plan(), SPLIT, seed=0)
    text, split, seed = "mlp:width=8,epochs=4", SPLIT, 0
    if change == "seed":
        seed = 1
    elif change == "data":
        split = SPLIT.take(95)
    else:
        text = {
            "recipe": "mlp:width=8,epochs=3",
            "options": "mlp:width=9,epochs=4",
            "augment": "mlp:width=8,epochs=4,augment=shift1",
        }[change]
    assert not training.load_or_train(
        training.plan_training(ModelSpec.parse(text), split), split, seed=seed
    ).provenance.cached


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "other"])
def test_damaged_weights_are_trained_again(damage, tmp_path, caplog):
    first = training.load_or_train(plan(), SPLIT, seed=0)
    (path,) = (tmp_path / "weights").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[-3] ^= 64
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        (tmp_path / "weights").rename(tmp_path / "away")
        training.load_or_train(plan("mlp:width=4,epochs=1"), SPLIT, seed=0)
        (other,) = (tmp_path / "weights").glob("*.safetensors")
        other.rename(path)
    with caplog.at_level(logging.WARNING):
        again = training.load_or_train(plan(), SPLIT, seed=0)
    assert not again.provenance.cached
    assert "cannot be used" in caplog.text and "Training again" in caplog.text
    assert all((a == b).all() for a, b in zip(weights(first), weights(again), strict=True))
    assert training.load_or_train(plan(), SPLIT, seed=0).provenance.cached


def test_zero_epochs_keep_the_initial_weights():
    trained = training.load_or_train(plan("mlp:width=8,epochs=0"), SPLIT, seed=3)
    assert trained.provenance.loss is None
    expected = training.build(ModelSpec.parse("mlp:width=8"), (8, 8, 1), 2, seed=3)
    for a, b in zip(weights(trained), jax.tree.leaves(training.nnx.state(expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_divergence_is_an_error():
    model = training.build(ModelSpec.parse("mlp:width=8"), (8, 8, 1), 2, seed=0)
    with pytest.raises(MeasurementError, match="diverged"):
        fit(model, SPLIT, Recipe(epochs=5, learning_rate=1e30, warmup=0.0, clip=1e30), seed=0)


def test_the_name_is_the_canonical_spec():
    found = plan("mlp:epochs=4,width=8,augment=none")
    assert found.name == "mlp:width=8,epochs=4"
    assert json.loads(json.dumps(found.options)) == {"width": "8"}


@pytest.mark.parametrize("text", ["mlp:augment=spin", "mlp:augment=shift8", "mlp:augment=none+affine", "mlp:epochs=x"])
def test_invalid_recipes(text):
    with pytest.raises(InputError, match="allowed"):
        plan(text)


def test_every_image_is_used_equally_often():
    from cnnshift.train.fit import _batches

    stream = _batches(np.random.default_rng(0), 10, 4)
    drawn = np.concatenate([next(stream) for _ in range(5)])
    np.testing.assert_array_equal(np.bincount(drawn, minlength=10), 2)


def test_the_keys_of_the_recipe_are_listed_as_allowed():
    with pytest.raises(
        InputError, match=r"'cnn' has no option 'x'; allowed: pool, .*, stride, augment, epochs, seed\.$"
    ):
        plan("cnn:x=1,epochs=0")
