"""`resnet`, `vgg`, `convnext`, `coordconv` and their layers: parameter counts of the papers, identities, borders."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.errors import InputError
from cnnshift.models.base import build, parse_model
from cnnshift.models.coordconv import with_coordinates
from cnnshift.models.layers import depthwise
from cnnshift.models.layers.head import AttentionPool
from cnnshift.models.layers.padding import align_shortcut
from cnnshift.models.layers.patch_convolution import PatchConvolution
from cnnshift.models.layers.subsample import Subsample
from cnnshift.spec import ModelSpec

PADDINGS = ("zero", "circular", "reflect", "replicate", "valid", "full")
MODES = {"zero": "constant", "full": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}
rng = np.random.default_rng(0)


def draw(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def make(text, shape, classes=4):
    return build(ModelSpec.parse(text), shape, classes, seed=0)


def randomized(text, shape):
    """Build a network with random scales and biases, which start constant."""
    model, random = make(text, shape), np.random.RandomState(1)
    for path, weight in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        if path[-1] in ("scale", "bias"):
            weight[...] = jnp.asarray(random.uniform(0.2, 1.0, weight[...].shape), jnp.float32)
    model.eval()
    return model


def abstract(text, shape, classes):
    """Build a network without allocating its weights."""
    return nnx.eval_shape(lambda: make(text, shape, classes))


@pytest.mark.parametrize(
    ("text", "shape", "classes", "count", "features"),
    [
        # Option A of the paper has 269,722; the two 1×1 shortcuts and their normalization add 2,560 + 192.
        ("resnet:depth=20,width=16", (32, 32, 3), 10, 269_722 + 2_752, (8, 8, 64)),
        ("resnet:depth=56,width=16", (32, 32, 3), 10, 853_018 + 2_752, (8, 8, 64)),
        ("resnet:depth=18,width=64", (32, 32, 3), 10, 11_173_962, (4, 4, 512)),
        ("resnet:depth=18,width=64,stem=imagenet", (224, 224, 3), 1000, 11_689_512, (7, 7, 512)),
        # The thirteen convolutions of the paper's column D, biases included, have 14,714,688.
        ("vgg:depth=16,width=64,norm=none", (32, 32, 3), 10, 14_714_688 + 5_130, (1, 1, 512)),
        ("convnext:depths=3-3-9-3,width=96,patch=4", (224, 224, 3), 1000, 28_589_128, (7, 7, 768)),
    ],
)
def test_parameter_counts_of_the_papers(text, shape, classes, count, features):
    model = abstract(text, shape, classes)
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == count
    images = jax.ShapeDtypeStruct((1, *shape), "float32")
    assert nnx.eval_shape(lambda m, x: m.features(x), model, images).shape[1:] == features
    assert model.total_stride == shape[0] // features[0]


FAMILIES = {
    "resnet": "resnet:width=2",
    "v2": "resnet:width=2,preactivation=true,stem=imagenet,norm=layer",
    "vgg": "vgg:width=2,norm=layer,head=gap",
    "convnext": "convnext:width=4",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_aps_with_circular_padding_is_invariant_to_every_circular_shift(name):
    size = 16 if name == "v2" else 8
    model = randomized(f"{FAMILIES[name]},pool=aps,padding=circular", (size, size, 1))
    image, apply = draw(size, size, 1), jax.jit(model)
    moved = [np.roll(image, (dy, dx), (0, 1)) for dy in range(size) for dx in range(size)]
    logits = np.asarray(apply(jnp.asarray(moved)))
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:1], logits.shape), rtol=1e-4, atol=1e-4)
    assert np.ptp(apply(jnp.asarray(draw(*np.shape(moved)))), axis=0).min() > 1e-2


# Every pooling layer once: for strided convolutions, the max-pool of a stem, after groups, between patches.
@pytest.mark.parametrize(("pool", "name"), list(zip(DOWNSAMPLERS, itertools.cycle(FAMILIES))))
def test_stages_compose_to_the_features_and_are_equivariant(pool, name):
    # With a flattened head, `convnext` normalizes the features.
    head = ",head=flatten" if name == "convnext" else ""
    model = randomized(f"{FAMILIES[name]},pool={pool},padding=circular{head}", (16, 16, 1))
    x, total = draw(1, 16, 16, 1), model.total_stride
    stages = model.circular_stages((16, 16))
    assert np.prod([stage.stride for stage in stages]) == total

    @jax.jit
    def both(x):
        dense = stages[0].dense(x)
        y = stages[0].downsample(dense)
        for stage in stages[1:]:
            y = stage.downsample(stage.dense(y))
        return model.features(x), dense, y

    moved = np.concatenate([x, np.roll(x, (total, 2 * total), (1, 2)), np.roll(x, (1, 3), (1, 2))])
    features, dense, staged = map(np.asarray, both(jnp.asarray(moved)))
    np.testing.assert_allclose(staged, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features[1], np.roll(features[0], (1, 2), (0, 1)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(dense[2], np.roll(dense[0], (1, 3), (0, 1)), rtol=1e-3, atol=1e-4)
    assert features.shape[1] == 16 // total
    if pool == "stride":
        assert np.abs(features[2].mean((0, 1)) - features[0].mean((0, 1))).max() > 1e-3


@pytest.mark.parametrize("pool", DOWNSAMPLERS)
@pytest.mark.parametrize(("name", "stride"), [("resnet", 4), ("vgg", 8), ("convnext", 4)])
def test_every_family_accepts_every_pool(pool, name, stride):
    model = abstract(f"{name}:width=2,pool={pool},head=flatten", (16, 16, 1), 4)
    assert model.total_stride == (1 if pool == "none" else stride)
    channels = 4 if name == "convnext" else 8
    assert model.classifier.in_features == (16 // model.total_stride) ** 2 * channels


def test_no_stages_for_other_borders_and_odd_sizes():
    def has_stages(text, size=(8, 8)):
        return abstract(text, (8, 8, 1), 4).circular_stages(size) is not None

    assert not has_stages("resnet:width=2")
    assert not has_stages("vgg:width=2,padding=reflect")
    assert has_stages("vgg:width=2,padding=circular")
    assert not has_stages("vgg:width=2,padding=circular", (8, 12))
    assert not has_stages("convnext:width=2,pool=aps")
    assert not has_stages("coordconv:padding=circular,width=2")
    assert has_stages("coordconv:padding=circular,width=2,coordinates=none")


@pytest.mark.parametrize("padding", ["valid", "full"])
@pytest.mark.parametrize("name", FAMILIES)
def test_shortcuts_fit_with_paddings_that_change_the_size(padding, name):
    size = 96 if name == "v2" else 48
    model = abstract(f"{FAMILIES[name]},padding={padding}", (size, size, 1), 4)
    images = jax.ShapeDtypeStruct((2, size, size, 1), "float32")
    assert nnx.eval_shape(lambda m, x: m(x), model, images).shape == (2, 4)


def test_error_names_the_block_that_leaves_no_pixel():
    with pytest.raises(InputError, match=r"^depth is 7, but block 3 of 6 leaves no pixel of its 1×1 map; choose fewer"):
        abstract("vgg:width=2,padding=valid", (6, 6, 1), 4)


@pytest.mark.parametrize("pool", ["stride", "aps"])
def test_residual_block_equals_its_formula(pool):
    """Compare `resnet` without normalization with numpy; both branches share one polyphase component."""
    model = randomized(f"resnet:width=2,norm=none,pool={pool},padding=circular", (8, 8, 2))
    x = np.maximum(draw(3, 8, 8, 2), 0)
    block = model.blocks[2]

    def convolved(x, layer):
        kernel, reach = np.asarray(layer.kernel[...]), layer.kernel.shape[0] // 2
        wide = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="wrap")
        size = x.shape[1]
        taps = np.ndindex(*kernel.shape[:2])
        y = sum(wide[:, a : a + size, b : b + size] @ kernel[a, b] for a, b in taps)
        return y if layer.bias is None else y + np.asarray(layer.bias[...])

    main, expected = np.maximum(convolved(x, block.first), 0), []
    for image, shortcut in zip(main, x, strict=True):
        both = [np.concatenate([image, shortcut], -1)[a::2, b::2][None] for a in (0, 1) for b in (0, 1)]
        chosen = both[0] if pool == "stride" else max(both, key=lambda part: np.linalg.norm(part.ravel()))
        y = convolved(chosen[..., :4], block.second) + convolved(chosen[..., 4:], block.project)
        expected.append(np.maximum(y[0], 0))
    np.testing.assert_allclose(block(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", PADDINGS)
def test_align_shortcut_crops_and_pads_as_a_convolution(padding):
    # A convolution with a centred impulse, on the padded map, is the identity up to borders.
    x = draw(1, 7, 6, 2)
    before = {"valid": 0, "full": 4}.get(padding, 2)
    wide = np.pad(x, ((0, 0), (before, before), (before, before), (0, 0)), mode=MODES.get(padding, "constant"))
    middle = wide[:, 2 : wide.shape[1] - 2, 2 : wide.shape[2] - 2]
    np.testing.assert_array_equal(align_shortcut(jnp.asarray(x), 5, padding), middle)


@pytest.mark.parametrize("padding", PADDINGS)
def test_depthwise_equals_a_loop_over_channels(padding):
    layer = depthwise.Depthwise(3, 5, padding=padding, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.asarray(draw(3))
    x, kernel = draw(2, 6, 7, 3), np.asarray(layer.kernel[...])
    before = {"valid": 0, "full": 4}.get(padding, 2)
    wide = np.pad(x, ((0, 0), (before, before), (before, before), (0, 0)), mode=MODES.get(padding, "constant"))
    height, width = wide.shape[1] - 4, wide.shape[2] - 4
    expected = np.empty((2, height, width, 3))
    for i, j, c in np.ndindex(height, width, 3):
        expected[:, i, j, c] = (wide[:, i : i + 5, j : j + 5, c] * kernel[:, :, c]).sum((1, 2)) + layer.bias[...][c]
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)


def test_depthwise_and_its_derivatives_equal_lax():
    x, kernel = jnp.asarray(draw(2, 7, 8, 3)), jnp.asarray(draw(3, 5, 3))
    expected, transpose = jax.vjp(depthwise.lax_depthwise, x, kernel)
    found, mine = jax.jit(lambda x, k: jax.vjp(depthwise.depthwise, x, k))(x, kernel)
    cotangent = jnp.asarray(draw(*expected.shape))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(mine(cotangent), transpose(cotangent), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    tangents = [
        jax.jvp(f, (x, kernel), (kernel.mean() * x, kernel))[1] for f in (depthwise.depthwise, depthwise.lax_depthwise)
    ]
    np.testing.assert_allclose(*tangents, rtol=1e-4, atol=1e-4)


def test_patch_convolution_equals_a_matrix_product_and_its_dense_form():
    stride, none = (
        [DOWNSAMPLERS.load(name)(5, padding="zero", options=DOWNSAMPLERS.load(name).options_type(), rngs=nnx.Rngs(0))]
        * 2
        for name in ("stride", "none")
    )
    strided = PatchConvolution((3, 5), 4, padding="zero", pools=stride, rngs=nnx.Rngs(0))
    dense = PatchConvolution((3, 5), 4, padding="zero", pools=none, rngs=nnx.Rngs(0))
    x = draw(2, 8, 12, 3)
    patches = x.reshape(2, 2, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 2, 3, 48)
    expected = patches @ np.asarray(strided.weights.kernel[...]).reshape(48, 5)
    np.testing.assert_allclose(strided(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dense(jnp.asarray(x))[:, ::4, ::4], expected, rtol=1e-4, atol=1e-5)
    assert (strided.stride, dense.stride, isinstance(stride[0], Subsample)) == (4, 1, True)
    assert dense(jnp.asarray(x)).shape == (2, 8, 12, 5)


def test_attention_pool_is_a_weighted_mean_and_invariant_to_shifts():
    attention = AttentionPool(3, rngs=nnx.Rngs(0))
    z = draw(2, 4, 5, 3)
    positions = z.reshape(2, 20, 3).astype(np.float64)
    scores = np.exp(positions @ np.asarray(attention.query[...], np.float64))
    expected = (scores[..., None] * positions).sum(1) / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(attention(jnp.asarray(z)), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected - positions.mean(1)).max() > 1e-2
    np.testing.assert_allclose(attention(jnp.roll(jnp.asarray(z), (1, 3), (1, 2))), expected, rtol=1e-4, atol=1e-5)
    attention.query[...] = jnp.zeros(3)
    np.testing.assert_allclose(attention(jnp.asarray(z)), positions.mean(1), rtol=1e-4, atol=1e-5)
    model = make("cnn:head=attention,depth=1,width=2", (8, 8, 1))
    assert (model.readout_kind, model.classifier.in_features) == ("global", 2)


def test_coordinates_run_from_minus_one_to_one():
    images = jnp.zeros((2, 3, 5, 1))
    rows = np.repeat(np.array([-1, 0, 1])[:, None], 5, axis=1)
    columns = np.repeat(np.array([-1, -0.5, 0, 0.5, 1])[None], 3, axis=0)
    found = with_coordinates(images)
    for image in found:
        np.testing.assert_allclose(image, np.stack([0 * rows, rows, columns], -1), atol=1e-6)
    same = make("coordconv:width=2,depth=1,coordinates=none", (8, 8, 1)), make("cnn:width=2,depth=1", (8, 8, 1))
    x = jnp.asarray(draw(1, 8, 8, 1))
    np.testing.assert_array_equal(same[0](x), same[1](x))


def test_coordinates_break_the_invariance_of_a_network():
    options = "width=2,depth=1,pool=none,padding=circular,head=gap"
    x = jnp.asarray(draw(1, 8, 8, 1))
    both = jnp.concatenate([x, jnp.roll(x, (3, 2), (1, 2))])
    moving = np.ptp(make(f"coordconv:{options}", (8, 8, 1))(both), axis=0).max()
    without = np.ptp(make(f"coordconv:{options},coordinates=none", (8, 8, 1))(both), axis=0).max()
    assert moving > 1e-2
    assert without < 1e-5


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("resnet", {"stride", "padding", "activation"}),
        ("vgg", {"stride", "padding", "head", "activation"}),
        ("convnext:pool=aps,padding=circular", {"activation"}),
        ("coordconv:head=attention", {"position embedding", "stride", "padding", "activation"}),
    ],
)
def test_interventions_name_the_causes_and_are_allowed(text, causes):
    spec = ModelSpec.parse(text)
    family, options = parse_model(spec)
    interventions = family.interventions(options)
    assert set(interventions) == causes
    for changes in interventions.values():
        changed = parse_model(ModelSpec.parse(f"{spec.name}:" + ",".join(f"{k}={v}" for k, v in changes.items())))[1]
        assert set(changes.items()) <= {(k, str(v)) for k, v in changed}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet:depth=10", "depth is '10'"),
        ("vgg:depth=12", "depth is '12'"),
        ("convnext:depths=3-0", "depths is '3-0'; it must be 1 to 6 numbers"),
        ("convnext:patch=3", "patch is '3'"),
    ],
)
def test_errors_are_one_sentence(text, message):
    with pytest.raises(InputError, match=message):
        parse_model(ModelSpec.parse(text))
