"""Pooling layers: defining identities, comparison with numpy at several strides, and training."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from cnnshift.errors import InputError
from cnnshift.models.base import parse_model
from cnnshift.spec import ModelSpec
from tests.pooling import distance, draw, network, pool, rng, run

NEW = ["lps", "tips", "flc", "ddac", "afc"]


def maximum(x, window):
    before = (window - 1) // 2
    return np.maximum.reduce(
        [np.roll(x, (before - a, before - b), (1, 2)) for a in range(window) for b in range(window)]
    )


# `test_layers` tests the other pools at stride 2; larger strides are compared with numpy below.
@pytest.mark.parametrize(("name", "stride"), [*((name, 3) for name in NEW), ("tips", 2)])
def test_pools_are_equivariant_to_multiples_of_their_stride(name, stride):
    layer, x = pool(name, channels=4, stride=stride), draw(2, 12, 24, 4)
    # One batch for both, so that the batch does not affect the comparison.
    both = run(layer, np.concatenate([x, np.roll(x, (stride, -2 * stride), (1, 2))]))
    assert both.shape == (4, 12 // stride, 24 // stride, 4)
    np.testing.assert_allclose(both[2:], np.roll(both[:2], (1, -2), (1, 2)), atol=2e-6)


@pytest.mark.parametrize("stride", [3, 4])
def test_windows_of_larger_strides_equal_numpy(stride):
    x = draw(2, 12, 13, 3)
    fits = x[:, :, :12]
    windows = fits.reshape(2, 12 // stride, stride, 12 // stride, stride, 3)
    found = {name: run(pool(name, stride=stride), x) for name in ("max", "avg", "stride")}
    np.testing.assert_array_equal(found["max"], windows.max(axis=(2, 4)))
    np.testing.assert_allclose(found["avg"], windows.mean(axis=(2, 4)), atol=1e-6)
    np.testing.assert_array_equal(found["stride"], x[:, ::stride, ::stride])


def test_gradient_of_a_larger_max_pool_goes_to_the_maximum():
    stride, x = 3, draw(2, 12, 12, 2)
    largest = x.reshape(2, 12 // stride, stride, 12 // stride, stride, 2).max(axis=(2, 4)).repeat(stride, 1)
    gradient = jax.jit(jax.grad(lambda x: pool("max", channels=2, stride=stride)(x).sum()))(jnp.asarray(x))
    np.testing.assert_array_equal(gradient, (x == largest.repeat(stride, 2)).astype(np.float32))


@pytest.mark.parametrize("stride", [3, 4])
def test_blur_with_a_larger_stride_filters_the_dense_maximum(stride):
    x, row = draw(2, 12, 12, 3), np.array([1, 2, 1]) / 4
    dense = maximum(x, stride)
    filtered = sum(
        row[a] * row[b] * np.roll(dense, (1 - a, 1 - b), (1, 2)) for a, b in itertools.product(range(3), repeat=2)
    )
    found = run(pool("blur", stride=stride), x)
    np.testing.assert_allclose(found, filtered[:, ::stride, ::stride], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "stride"), [("aps", 3), ("lps", 2), ("lps", 3)])
def test_adaptive_pools_are_equivariant_to_every_shift_up_to_a_shift(name, stride):
    layer, x, size = pool(name, stride=stride), draw(1, 12, 12, 3), 12 // stride
    shifts = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 5), (7, 3), (11, 10)]
    still, *moved = run(layer, np.concatenate([np.roll(x, d, (1, 2)) for d in shifts]))
    rolls = [np.roll(still, q, (0, 1)) for q in itertools.product(range(size), repeat=2)]
    for one in moved:
        assert any((one == roll).all() for roll in rolls)


@pytest.mark.parametrize("pools", ["aps,stride=4", "lps"])
def test_a_network_with_adaptive_pools_is_invariant_to_every_circular_shift(pools):
    model, x = network(f"cnn:pool={pools},padding=circular,head=gap,width=4,depth=2", (16, 16, 1)), draw(16, 16, 1)
    moved = [np.roll(x, d, (0, 1)) for d in itertools.product(range(16), repeat=2)]
    logits = run(model, np.stack(moved))
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:1], logits.shape), rtol=1e-5, atol=1e-6)


def test_lps_selects_the_component_with_the_highest_score():
    layer, x = pool("lps", lps="5"), draw(4, 8, 8, 3)
    kernel, bias, weights = (np.asarray(each[...]) for each in (layer.hidden.kernel, layer.hidden.bias, layer.weights))
    dense, chosen = maximum(x, 2), []
    for image in dense:
        parts = [image[a::2, b::2] for a in (0, 1) for b in (0, 1)]
        hidden = [
            sum(np.roll(part, (1 - a, 1 - b), (0, 1)) @ kernel[a, b] for a, b in itertools.product(range(3), repeat=2))
            for part in parts
        ]
        scores = [(np.maximum(each + bias, 0).mean(axis=(0, 1)) * weights).sum() for each in hidden]
        chosen.append(parts[int(np.argmax(scores))])
    np.testing.assert_array_equal(run(layer, x), np.array(chosen))


def test_lps_has_the_same_value_in_training_and_a_gradient_of_its_scores():
    layer, x = pool("lps", maximum=False), jnp.asarray(draw(2, 8, 8, 3))
    cotangent = jnp.asarray(draw(2, 4, 4, 3))
    evaluated = run(layer, x)
    gradient = nnx.jit(nnx.grad(lambda layer: (layer(x) * cotangent).sum()))
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient(layer)))
    layer.train()
    np.testing.assert_array_equal(run(layer, x), evaluated)

    @nnx.jit
    @nnx.grad
    def straight_through(layer):
        parts = [x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)]
        tau = jax.nn.softmax(layer._scores(parts), axis=0)
        return (jnp.einsum("pn,pnhwc->nhwc", tau, jnp.stack(parts)) * cotangent).sum()

    for found, expected in zip(*map(jax.tree.leaves, (gradient(layer), straight_through(layer))), strict=True):
        assert np.asarray(expected).any()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def component_weights(layer, x):
    return np.asarray(nnx.jit(lambda layer, x: layer._component_weights(x))(layer, jnp.asarray(x)))


def test_tips_weights_and_output_equal_numpy():
    layer, x = pool("tips", maximum=False), draw(2, 8, 6, 3)
    layer.weights[...] = jnp.asarray(draw(3))
    kernel, weights = np.asarray(layer.kernel[...]).reshape(3, 3, 3), np.asarray(layer.weights[...])
    parts = np.stack([x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)])
    filtered = sum(
        np.roll(parts, (1 - a, 1 - b), (2, 3)) * kernel[a, b] for a, b in itertools.product(range(3), repeat=2)
    )
    scores = np.exp(np.maximum(filtered, 0).mean(axis=(2, 3)) * weights)
    tau = scores / scores.sum(axis=0)
    np.testing.assert_allclose(component_weights(layer, x), tau, rtol=1e-5)
    np.testing.assert_allclose(run(layer, x), (tau[:, :, None, None] * parts).sum(axis=0), atol=1e-5)


def test_tips_does_not_depend_on_the_order_of_the_components():
    layer, x = pool("tips", maximum=False), draw(2, 8, 8, 3)
    mixed = [x]
    for order in [(1, 0, 2, 3), (3, 2, 1, 0), (2, 3, 1, 0)]:
        mixed.append(np.empty_like(x))
        for place, source in enumerate(order):
            mixed[-1][:, place // 2 :: 2, place % 2 :: 2] = x[:, source // 2 :: 2, source % 2 :: 2]
    still, *others = run(layer, np.concatenate(mixed)).reshape(4, 2, 4, 4, 3)
    for other in others:
        np.testing.assert_allclose(other, still, atol=1e-6)


def test_shifts_preserve_the_weights_and_means_of_tips_but_not_its_maps():
    layer, x, size = pool("tips", stride=3), draw(1, 12, 12, 3), 4
    moved = np.concatenate([np.roll(x, d, (1, 2)) for d in [(0, 0), (1, 0), (0, 1), (1, 1), (5, 7)]])
    tau = np.sort(component_weights(layer, moved), axis=0)
    np.testing.assert_allclose(tau, np.broadcast_to(tau[:, :1], tau.shape), rtol=1e-5)
    still, *others = run(layer, moved)
    rolls = [np.roll(still, q, (0, 1)) for q in itertools.product(range(size), repeat=2)]
    for other in others:
        np.testing.assert_allclose(other.mean(axis=(0, 1)), still.mean(axis=(0, 1)), rtol=1e-5, atol=1e-6)
        assert min(distance(other, roll) for roll in rolls) > 1e-2


def test_tips_with_all_weight_on_one_component_is_equivariant_to_every_shift_up_to_a_shift():
    layer, x = pool("tips", channels=1), draw(1, 8, 8, 1)
    layer.weights[...] = jnp.array([1e5])
    moved = np.concatenate([np.roll(x, d, (1, 2)) for d in itertools.product(range(3), repeat=2)])
    np.testing.assert_allclose(
        np.sort(component_weights(layer, moved), axis=0)[..., 0], np.tile([[0], [0], [0], [1]], 9)
    )
    still, *others = run(layer, moved)
    for other in others:
        assert min(distance(other, np.roll(still, q, (0, 1))) for q in itertools.product((0, 1), repeat=2)) < 1e-5


@pytest.mark.parametrize(
    ("size", "groups", "stride", "padding"), [(3, 2, 2, "circular"), (5, 1, 3, "circular"), (3, 4, 2, "zero")]
)
def test_ddac_equals_a_loop(size, groups, stride, padding):
    layer = pool("ddac", padding, 4, stride, maximum=False, ddac=str(size), groups=str(groups))
    x, kernel, r = draw(2, 6, 9, 4), np.asarray(layer.kernel[...]), size // 2
    wide = np.pad(x, ((0, 0), (r, r), (r, r), (0, 0)), mode="wrap" if padding == "circular" else "constant")
    expected = np.zeros((2, -(-6 // stride), -(-9 // stride), 4))
    for n, i, j in np.ndindex(expected.shape[:3]):
        window = wide[n, i * stride : i * stride + size, j * stride : j * stride + size]
        logits = np.einsum("abc,abco->o", window, kernel).reshape(groups, size, size)
        for c in range(4):
            weights = np.exp(logits[c * groups // 4])
            expected[n, i, j, c] = (weights / weights.sum() * window[:, :, c]).sum()
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["stride", "blur", "ddac"])
def test_some_pools_keep_an_odd_last_row(name):
    assert run(pool(name, channels=4), draw(1, 7, 9, 4)).shape == (1, 4, 5, 4)


@pytest.mark.parametrize("name", ["lps", "tips", "flc", "afc"])
def test_other_pools_drop_an_odd_last_row(name):
    layer, x = pool(name, maximum=False), draw(2, 7, 9, 3)
    found = run(layer, x)
    assert found.shape == (2, 3, 4, 3)
    x[:, 6:], x[:, :, 8:] = 9, 9
    np.testing.assert_array_equal(run(layer, x), found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cnn:stride=5", "stride is '5'"),
        ("cnn:stride=1", "stride is '1'"),
        ("cnn:pool=none,stride=3", r"^stride is 3, but pool=none keeps the resolution; leave stride out\.$"),
        ("cnn:pool=none,stride=2", r"^stride is 2, but pool=none keeps the resolution; leave stride out\.$"),
        ("locally_connected:pool=none,stride=2", "stride is 2, but pool=none keeps"),
        ("coordconv:pool=none,stride=2", "stride is 2, but pool=none keeps"),
        ("orbit:pool=none,stride=2", "stride is 2, but pool=none keeps"),
        ("cnn:pool=max,stride=4,depth=3", "depth is 3, but block 3 of 3 leaves no pixel of its 1×1 map"),
        ("cnn:pool=afc,stride=4,depth=3", "depth is 3, but block 3 of 3 leaves no pixel of its 1×1 map"),
        ("cnn:pool=ddac,groups=3", "groups is 3, which does not divide the 8 channels"),
        ("cnn:pool=ddac,ddac=4", "ddac is '4'"),
        ("cnn:pool=lps,lps=0", "lps is '0'"),
        ("mlp:activation=poly", "activation is 'poly'"),
    ],
)
def test_errors_are_one_sentence(text, message):
    with pytest.raises(InputError, match=message):
        network(text, (16, 16, 1))


@pytest.mark.parametrize("name", ["max", "stride", "afc"])
def test_total_stride_and_stages_follow_the_stride(name):
    model = network(f"cnn:pool={name},stride=3,depth=2,padding=circular,width=4", (18, 18, 1))
    assert model.total_stride == 9
    stages = model.circular_stages((18, 18))
    assert [stage.stride for stage in stages] == [3, 3]
    assert model.circular_stages((16, 18)) is None
    x = draw(1, 18, 18, 1)
    still, moved = jax.jit(model.features)(np.concatenate([x, np.roll(x, (9, -9), (1, 2))]))
    np.testing.assert_allclose(moved, np.roll(still, (1, -1), (0, 1)), atol=1e-4)


def test_the_default_stride_is_not_in_the_canonical_spec():
    assert parse_model(ModelSpec.parse("cnn:stride=2"))[1].changed() == {}
    assert parse_model(ModelSpec.parse("locally_connected:stride=3"))[1].changed() == {"stride": "3"}


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("cnn:pool=aps,padding=circular,head=gap", {"activation"}),
        ("cnn:pool=lps,padding=circular,head=gap", {"activation"}),
        ("cnn:pool=afc,padding=circular,head=gap,activation=poly,norm=alias_free", set()),
        ("cnn:pool=afc,padding=circular,head=gap,activation=poly,norm=layer", {"stride"}),
        ("cnn:pool=afc,padding=circular,head=gap", {"stride", "activation"}),
        ("cnn:pool=tips,padding=circular,head=gap", {"stride", "activation"}),
        ("cnn:pool=flc,padding=circular,head=gap", {"stride", "activation"}),
    ],
)
def test_equivariant_parts_need_no_intervention(text, causes):
    family, options = parse_model(ModelSpec.parse(text))
    assert set(family.interventions(options)) == causes


@pytest.mark.parametrize("text", ["lps", "tips", "ddac", "afc,activation=poly,norm=alias_free"])
def test_training_lowers_the_loss_and_changes_the_weights_of_the_pool(text):
    """Classify horizontal and vertical bars."""
    model = network(f"cnn:pool={text},padding=circular,head=gap,width=8,depth=1", (8, 8, 1), 2)
    labels, places = rng.integers(0, 2, 32), rng.integers(0, 8, 32)
    images = 0.2 * rng.random((32, 8, 8, 1)).astype(np.float32)
    for image, label, place in zip(images, labels, places, strict=True):
        (image if label else image.transpose(1, 0, 2))[place] += 0.8
    model.train()
    graph, weights, rest = nnx.split(model, nnx.Param, ...)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(weights, moments):
        def loss(weights):
            logits = nnx.merge(graph, weights, rest, copy=True)(jnp.asarray(images))
            return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(labels)).mean()

        value, gradient = jax.value_and_grad(loss)(weights)
        update, moments = optimizer.update(gradient, moments, weights)
        return optax.apply_updates(weights, update), moments, value

    first, moments, losses = weights, optimizer.init(weights), []
    for _ in range(50):
        weights, moments, value = step(weights, moments)
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]
    weights_of_pool = [
        (np.asarray(before), np.asarray(after))
        for (path, before), after in zip(
            jax.tree_util.tree_leaves_with_path(first), jax.tree.leaves(weights), strict=True
        )
        if "pool" in jax.tree_util.keystr(path) or "activation" in jax.tree_util.keystr(path)
    ]
    assert weights_of_pool
    assert all((before != after).any() for before, after in weights_of_pool)
