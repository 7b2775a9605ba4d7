"""The interface of model families, and the meaning of their options."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.catalog import DOWNSAMPLERS, MODELS
from cnnshift.errors import InputError
from cnnshift.models.base import build, describe_options, parse_model
from cnnshift.models.layers.padding import Padding
from cnnshift.spec import ModelSpec

SHAPE, CLASSES = (8, 8, 3), 5
IMAGES = jnp.asarray(np.random.RandomState(0).random_sample((4, *SHAPE)), jnp.float32)


def make(text, seed=0, shape=SHAPE):
    return build(ModelSpec.parse(text), shape, CLASSES, seed=seed)


def smallest(name):
    """Return the spec of a family with one block, if its depth is free."""
    _, options = parse_model(ModelSpec(name))
    blocks = {line.key: line.allowed for line in describe_options(options)}.get("depth", "")
    return f"{name}:depth=1" if blocks.startswith("1 to") else name


SPECS = [
    *map(smallest, MODELS),
    *(f"cnn:pool={name},depth=2" for name in DOWNSAMPLERS),
    *(f"cnn:padding={name},depth=1" for name in Padding.__args__),
    *(f"cnn:head={head},depth=1" for head in ("gap", "gmp")),
    *(f"cnn:norm={name},depth=1" for name in ("batch", "layer")),
    *(f"mlp:activation={name}" for name in ("gelu", "tanh")),
    "cnn:norm=batch,pool=max,activation=tanh,depth=1",
    "cnn:pool=blur,blur=7,padding=circular",
    "cnn:pool=aps,aps=inf,padding=circular,head=gap",
    "locally_connected:pool=avg,padding=valid,head=gap,depth=1",
    "vit:position=relative,width=8,depth=1",
    "vit:position=sincos,head=token,width=8,depth=1",
    "polyvit:position=circular,anchor=image,width=8,depth=1",
]


@nnx.jit
def whole_and_parts(model, images):
    """Return the logits, those of the composed parts, and the penultimate features."""
    embedding = model.embed(model.features(images))
    return model(images), model.classify(embedding), embedding


@pytest.mark.parametrize("text", SPECS)
def test_contract(text):
    model, other = make(text), make(text, seed=1)
    model.eval()
    other.eval()
    # One compiled function: separate operations take several times as long.
    logits, parts, embedding = whole_and_parts(model, IMAGES)
    assert logits.shape == (4, CLASSES)
    assert np.isfinite(logits).all()
    assert embedding.ndim == 2
    np.testing.assert_array_equal(parts, logits)
    again, *_ = whole_and_parts(model, IMAGES)
    np.testing.assert_array_equal(again, logits)
    assert (np.asarray(whole_and_parts(other, IMAGES)[0]) != np.asarray(logits)).any()


@pytest.mark.parametrize("text", SPECS)
def test_every_weight_has_a_gradient_and_training_lowers_the_loss(text):
    model = make(text)
    model.train()
    graph, weights, rest = nnx.split(model, nnx.Param, ...)
    # Weights that start at zero, such as the last ones of a spatial transformer, block the gradient of earlier layers.
    weights = jax.tree.map(lambda leaf: np.asarray(leaf + 0.01 * (leaf.ndim > 1 and not leaf.any())), weights)
    labels = jnp.arange(4) % CLASSES

    @jax.jit
    @jax.value_and_grad
    def loss(weights):
        log_probability = jax.nn.log_softmax(nnx.merge(graph, weights, rest, copy=True)(IMAGES))
        return -jnp.take_along_axis(log_probability, labels[:, None], axis=1).mean()

    first, gradient = loss(weights)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert (np.asarray(leaf) != 0).any()
    for _ in range(20):
        weights = jax.tree.map(lambda w, g: w - 2e-3 * np.sign(g), weights, gradient)
        last, gradient = loss(weights)
    assert last < 0.95 * first


def with_every_head():
    for name in MODELS:
        _, options = parse_model(ModelSpec(name))
        heads = {line.key: line.allowed for line in describe_options(options)}.get("head", "")
        for head in filter(None, heads.split("|")):
            yield f"{smallest(name)}{',' if ':' in smallest(name) else ':'}head={head}"


@pytest.mark.parametrize("text", list(with_every_head()))
def test_every_family_accepts_its_heads(text):
    model = nnx.eval_shape(lambda: make(text))
    assert nnx.eval_shape(lambda m, x: m(x), model, IMAGES).shape == (4, CLASSES)


@pytest.mark.parametrize("text", SPECS)
def test_canonical_options_give_the_same_network(text):
    spec = ModelSpec.parse(text)
    _, options = parse_model(spec)
    again = ModelSpec(spec.name, options.changed())
    assert parse_model(again)[1] == options
    assert parse_model(again)[1].changed() == options.changed()


def size(text, shape):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(make(text, shape=shape), nnx.Param)))


@pytest.mark.parametrize(("width", "depth"), [(4, 1), (4, 3), (8, 2)])
def test_number_of_parameters(width, depth):
    channels = [3, *(width * 2**i for i in range(depth))]
    convolutions = sum((9 * a + 1) * b for a, b in pairwise(channels))
    side = 8 // 2**depth
    assert size(f"cnn:width={width},depth={depth}", SHAPE) == convolutions + (side**2 * channels[-1] + 1) * CLASSES
    assert size(f"cnn:width={width},depth={depth},head=gap", SHAPE) == convolutions + (channels[-1] + 1) * CLASSES
    normed = size(f"cnn:width={width},depth={depth},norm=batch", SHAPE)
    assert normed == convolutions + sum(channels[1:]) + (side**2 * channels[-1] + 1) * CLASSES
    assert (
        size(f"mlp:width={width},depth={depth}", SHAPE)
        == (8 * 8 * 3 + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * CLASSES
    )


@pytest.mark.parametrize(
    ("text", "stride"),
    [
        ("mlp", None),
        ("cnn:depth=1", 2),
        ("cnn:depth=3,padding=full", 8),
        ("cnn:depth=3,pool=none", 1),
        ("cnn:depth=2,pool=stride,padding=circular", 4),
        ("cnn:depth=2,pool=aps,head=gap", 4),
        ("locally_connected:depth=1,padding=valid", 2),
    ],
)
def test_the_total_stride_is_the_product_of_the_blocks(text, stride):
    assert make(text).total_stride == stride


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenet5", "Unknown model 'lenet5'"),
        ("cnn:pol=max", "no option 'pol'"),
        ("cnn:pool=median", "Unknown pool 'median'"),
        ("cnn:blur=3", "no option 'blur'"),
        ("cnn:pool=blur,blur=9", "blur is '9'"),
        ("cnn:pool=aps,aps=l3", "aps is 'l3'"),
        ("cnn:kernel=4", "kernel is '4'"),
        ("cnn:depth=0", "depth is '0'"),
        ("cnn:depth=5", "depth is 5, but block 4 of 5 leaves no pixel of its 1×1 map; choose fewer blocks"),
        ("mlp:pool=max", "no option 'pool'"),
        (
            "locally_connected:padding=valid,kernel=31,depth=2",
            "depth is 2, but block 1 of 2 leaves no pixel of its 8×8",
        ),
    ],
)
def test_errors_are_one_sentence(text, message):
    with pytest.raises(InputError, match=message):
        make(text)


def test_options_of_the_pool_are_serialized():
    dumps = [
        str(parse_model(ModelSpec.parse(f"cnn:pool=blur,blur={taps}"))[1].model_dump(mode="json")) for taps in (3, 5)
    ]
    assert dumps[0] != dumps[1]
