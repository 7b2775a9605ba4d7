"""Families that cut images into patches: invariance to shifts, and layers compared with loops and formulas."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.errors import InputError
from cnnshift.models.base import build, parse_model
from cnnshift.models.layers.attention import Attention
from cnnshift.models.layers.conditional_position import ConditionalPosition
from cnnshift.models.layers.patch_embedding import PatchEmbedding, dense_patch_embedding
from cnnshift.models.layers.polyphase_anchoring import largest_component, roll_back
from cnnshift.models.layers.position_embedding import sine_cosine
from cnnshift.models.layers.relative_position import RelativePosition
from cnnshift.models.layers.token_mixing import TokenMixing
from cnnshift.models.layers.transformer_block import TransformerBlock
from cnnshift.spec import ModelSpec

rng = np.random.default_rng(0)
SMALL = "patch=2,width=8,depth=1"
SIDE = 8
ALL_SHIFTS = np.array([(dy, dx) for dy in range(SIDE) for dx in range(SIDE)])
ON_GRID = (ALL_SHIFTS % 2 == 0).all(axis=1)
ROUNDING = 1e-5


def draw(*shape):
    return rng.standard_normal(shape).astype(np.float32)


IMAGES = draw(2, SIDE, SIDE, 3)


def make(text, shape=(SIDE, SIDE, 3), classes=5):
    model = build(ModelSpec.parse(text), shape, classes, seed=0)
    model.eval()
    return model


def errors(model, images=IMAGES):
    """Return ‖f(T_d x) − f(x)‖ / ‖f(x)‖ for every circular shift, the maximum over images."""
    moved = np.concatenate([np.roll(images, d, axis=(1, 2)) for d in ALL_SHIFTS])
    logits = np.asarray(nnx.jit(lambda model, x: model(x))(model, jnp.asarray(moved)))
    logits = logits.reshape(len(ALL_SHIFTS), len(images), -1)
    distance = np.linalg.norm(logits - logits[:1], axis=-1) / np.linalg.norm(logits[0], axis=-1)
    return distance.max(axis=1)


@pytest.mark.parametrize("options", ["position=none", "position=circular,head=token", "position=conv,head=gmp"])
def test_vit_is_invariant_to_multiples_of_the_patch_only(options):
    found = errors(make(f"vit:{SMALL},{options}"))
    assert found[ON_GRID].max() < ROUNDING
    assert found[~ON_GRID].min() > 1e-3


@pytest.mark.parametrize(
    "text",
    [
        *(f"vit:{SMALL},position={position}" for position in ("learned", "sincos", "relative")),
        f"vit:{SMALL},position=none,head=flatten",
        f"polyvit:{SMALL},position=learned",
        f"mixer:{SMALL}",
    ],
)
def test_positions_break_the_invariance_to_multiples_of_the_patch(text):
    model: Any = make(text)
    if "relative" in text:
        # The initial table is too close to zero for an error clearly above rounding.
        model.blocks[0].relative.table[...] = jnp.asarray(draw(*model.blocks[0].relative.table.shape))
    found = errors(model)
    assert found[ON_GRID][1:].min() > 1e-4
    assert found[~ON_GRID].max() > 1e-3


@pytest.mark.parametrize("options", ["", "anchor=image", "position=circular,head=token"])
def test_polyvit_is_invariant_to_every_shift(options):
    model = make(f"polyvit:{SMALL},{options}".rstrip(","))
    assert errors(model).max() < ROUNDING


def test_polyvit_shifts_its_map_by_whole_tokens():
    model = make(f"polyvit:{SMALL}")
    features = nnx.jit(lambda model, x: model.features(x))
    rest = np.asarray(features(model, jnp.asarray(IMAGES[:1])))
    for d in ALL_SHIFTS:
        moved = np.asarray(features(model, jnp.asarray(np.roll(IMAGES[:1], d, axis=(1, 2)))))
        distances = [np.abs(np.roll(rest, (a, b), axis=(1, 2)) - moved).max() for a in range(4) for b in range(4)]
        assert min(distances) < ROUNDING * np.abs(rest).max() * 10


@pytest.mark.parametrize(
    ("text", "has_stages"),
    [
        ("vit:position=none", True),
        ("vit:position=circular,head=token", True),
        ("vit:position=relative", False),
        ("vit", False),
        ("polyvit", True),
        ("polyvit:position=sincos", False),
        ("mixer", False),
    ],
)
def test_stages_are_equivariant(text, has_stages):
    family, _, options = text.partition(":")
    model = make(f"{family}:{SMALL},{options}".rstrip(","))
    assert model.total_stride == 2
    stages = model.circular_stages((SIDE, SIDE))
    assert (stages is not None) == has_stages
    if stages is not None:
        (stage,) = stages
        assert stage.stride == 2
        run = jax.jit(lambda x: stage.downsample(stage.dense(x)))
        moved, expected = run(np.roll(IMAGES, (2, 6), axis=(1, 2))), np.roll(run(IMAGES), (1, 3), axis=(1, 2))
        np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-5)


def test_patch_embedding_equals_a_loop():
    layer = PatchEmbedding((6, 4, 3), 2, 5, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.asarray(draw(5))
    x, kernel, bias = draw(2, 6, 4, 3), np.asarray(layer.kernel[...]), np.asarray(layer.bias[...])
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="wrap")
    everywhere = np.array(
        [[np.einsum("nabc,abco->no", padded[:, i : i + 2, j : j + 2], kernel) for j in range(4)] for i in range(6)]
    )
    everywhere = everywhere.transpose(2, 0, 1, 3) + bias
    np.testing.assert_allclose(layer(jnp.asarray(x)), everywhere[:, ::2, ::2], rtol=1e-4, atol=1e-5)
    found = dense_patch_embedding(jnp.asarray(x), layer.kernel[...], layer.bias[...])
    np.testing.assert_allclose(found, everywhere, rtol=1e-4, atol=1e-5)


def test_attention_equals_a_loop_and_commutes_with_permutations():
    layer, x, bias = Attention(6, 2, rngs=nnx.Rngs(0)), draw(2, 4, 6), draw(2, 4, 4)
    layer.qkv_bias[...], layer.out_bias[...] = jnp.asarray(draw(18)), jnp.asarray(draw(6))
    expected = np.zeros((2, 4, 6))
    for n in range(2):
        q, k, v = np.split(x[n] @ np.asarray(layer.qkv[...]) + np.asarray(layer.qkv_bias[...]), 3, axis=1)
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            for i in range(4):
                scores = np.array([q[i, part] @ k[j, part] / np.sqrt(3) + bias[head, i, j] for j in range(4)])
                weights = np.exp(scores) / np.exp(scores).sum()
                expected[n, i] += (weights @ v[:, part]) @ np.asarray(layer.out[...])[part]
    expected += np.asarray(layer.out_bias[...])
    np.testing.assert_allclose(layer(jnp.asarray(x), jnp.asarray(bias)), expected, rtol=1e-4, atol=1e-5)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(layer(jnp.asarray(x[:, order])), layer(jnp.asarray(x))[:, jnp.array(order)], atol=1e-5)


@pytest.mark.parametrize("wrap", [False, True])
def test_relative_position_equals_a_loop(wrap):
    rows, columns = grid = (3, 2)
    layer = RelativePosition(2, grid, wrap=wrap, rngs=nnx.Rngs(0))
    size = grid if wrap else (2 * rows - 1, 2 * columns - 1)
    table, found = np.asarray(layer.table[...]).reshape(2, *size), np.asarray(layer())
    for i in range(rows * columns):
        for j in range(rows * columns):
            dy, dx = i // columns - j // columns, i % columns - j % columns
            at = (dy % rows, dx % columns) if wrap else (dy + rows - 1, dx + columns - 1)
            np.testing.assert_array_equal(found[:, i, j], table[:, *at])


def test_class_token_has_no_relative_position():
    relative = RelativePosition(2, (2, 2), wrap=True, rngs=nnx.Rngs(0))
    block = TransformerBlock(4, 2, 1, relative, rngs=nnx.Rngs(0))
    x = jnp.asarray(draw(1, 5, 4))
    bias = np.zeros((2, 5, 5), np.float32)
    bias[:, 1:, 1:] = relative()

    def by_hand(block, x, bias):
        z = x + block.attention(block.norm1(x), bias)
        return z + block.mlp(block.norm2(z))

    expected = nnx.jit(by_hand)(block, x, jnp.asarray(bias))
    np.testing.assert_allclose(nnx.jit(lambda block, x: block(x))(block, x), expected, rtol=1e-5, atol=1e-6)


def test_sine_cosine_embedding_equals_its_formula():
    found = sine_cosine((5, 3), 12)
    for i in range(5):
        for j in range(3):
            for k in range(3):
                frequency = 10_000 ** (-4 * k / 12)
                expected = [np.sin(i * frequency), np.cos(i * frequency), np.sin(j * frequency), np.cos(j * frequency)]
                np.testing.assert_allclose(found[i, j, k::3], expected, rtol=1e-12, atol=1e-12)


def test_conditional_position_equals_a_loop():
    layer, x = ConditionalPosition(3, rngs=nnx.Rngs(0)), draw(2, 4, 5, 3)
    layer.bias[...] = jnp.asarray(draw(3))
    kernel, expected = np.asarray(layer.kernel[...])[:, :, 0], x + np.asarray(layer.bias[...])
    for i in range(4):
        for j in range(5):
            for u in range(3):
                for v in range(3):
                    expected[:, i, j] += kernel[u, v] * x[:, (i + u - 1) % 4, (j + v - 1) % 5]
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("vit:position=none", []),
        ("vit", ["position embedding"]),
        ("vit:position=relative,head=flatten", ["head", "position embedding"]),
        ("polyvit", []),
        ("mixer:head=flatten", ["head"]),
    ],
)
def test_interventions_remove_the_causes(text, causes):
    spec = ModelSpec.parse(text)
    family, options = parse_model(spec)
    interventions = family.interventions(options)
    assert sorted(interventions) == sorted(causes)
    combined = {key: value for changes in interventions.values() for key, value in changes.items()}
    assert not family.interventions(parse_model(ModelSpec(spec.name, {**spec.options, **combined}))[1])


def test_token_mixing_equals_a_loop():
    layer, x = TokenMixing(4, 3, rngs=nnx.Rngs(0)), draw(2, 4, 5)
    layer.bias1[...], layer.bias2[...] = jnp.asarray(draw(3)), jnp.asarray(draw(4))
    w1, b1, w2, b2 = (np.asarray(p[...]) for p in (layer.kernel1, layer.bias1, layer.kernel2, layer.bias2))
    expected = np.zeros_like(x)
    for n in range(2):
        for c in range(5):
            h = x[n, :, c] @ w1 + b1
            gelu = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
            expected[n, :, c] = gelu @ w2 + b2
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)


def test_the_anchor_is_the_component_of_largest_norm():
    x = draw(3, 6, 9, 2)
    phases = [(a, b) for a in range(3) for b in range(3)]
    expected = [max(phases, key=lambda a: np.square(one[a[0] :: 3, a[1] :: 3]).sum()) for one in x]
    found = largest_component(jnp.asarray(x), 3)
    np.testing.assert_array_equal(found, expected)
    rolled = [np.roll(one, (-a, -b), axis=(0, 1)) for one, (a, b) in zip(x, expected, strict=True)]
    np.testing.assert_array_equal(roll_back(jnp.asarray(x), found, 3), rolled)


def count(text, size=224, classes=1000):
    model = nnx.eval_shape(lambda: build(ModelSpec.parse(text), (size, size, 3), classes, seed=0))
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


# Exact counts of the papers, minus the position embedding of the class token, which is part of the token here.
@pytest.mark.parametrize(
    ("text", "parameters", "millions"),
    [
        ("vit:patch=16,width=768,depth=12,heads=12,mlp=4,head=token", 86_567_656 - 768, 86),
        ("vit:patch=16,width=192,depth=12,heads=3,mlp=4,head=token", 5_717_416 - 192, 5.7),
        ("mixer:patch=16,width=768,depth=12,tokens=384,channels=3072", 59_880_472, 59.9),
    ],
)
def test_parameter_counts_of_the_papers(text, parameters, millions):
    found = count(text)
    assert found == parameters
    assert found / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vit:patch=3", "patch is 3; allowed: divisors of both sides of the images, 8×8"),
        ("vit:heads=3", "heads is 3; allowed: divisors of the width, 64"),
        ("vit:position=sincos,width=6,heads=1", "width is 6; allowed with position=sincos: multiples of 4"),
        ("vit:position=rotary", "position is 'rotary'"),
        ("mixer:head=token", "head is 'token'"),
        ("polyvit:anchor=first", "anchor is 'first'"),
    ],
)
def test_errors_are_one_sentence(text, message):
    with pytest.raises(InputError, match=message):
        make(text)
