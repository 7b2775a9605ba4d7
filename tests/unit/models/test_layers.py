"""Layers compared with numpy loops and with their defining identities."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.models.base import parse_options
from cnnshift.models.layers import correlation
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.local_convolution import LocalConvolution
from tests.pooling import run

PADDINGS = ("zero", "circular", "reflect", "replicate", "valid", "full")
MODES = {"zero": "constant", "full": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}
rng = np.random.default_rng(0)


def draw(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def padded(x, window, padding):
    """Pad with `np.pad`."""
    if padding == "valid":
        return x
    before, after = (window - 1, window - 1) if padding == "full" else ((window - 1) // 2, window // 2)
    return np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), mode=MODES[padding])


def convolved(x, kernel, bias, padding, stride=1):
    x, size = padded(x, len(kernel), padding), len(kernel)
    rows = range(0, x.shape[1] - size + 1, stride)
    columns = range(0, x.shape[2] - size + 1, stride)
    y = [[np.einsum("nabc,abco->no", x[:, i : i + size, j : j + size], kernel) for j in columns] for i in rows]
    return np.array(y).transpose(2, 0, 1, 3) + bias


def pool(name, padding="circular", channels=3, **options):
    layer = DOWNSAMPLERS.load(name)
    parsed = parse_options(layer.options_type, name, options)
    return layer(channels, padding=padding, options=parsed, rngs=nnx.Rngs(0))


# The shapes use every formulation: shifted sum, blocked rows, XLA's convolution with and without margins.
SHAPES = [
    (1, 8, 3, 8, 8),
    (3, 8, 3, 9, 7),
    (8, 16, 3, 8, 8),
    (5, 7, 3, 6, 9),
    (2, 6, 5, 8, 8),
    (16, 32, 3, 4, 4),
    (20, 4, 3, 5, 5),
]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("inputs", "outputs", "kernel", "height", "width"), SHAPES)
def test_convolution_equals_a_loop(padding, inputs, outputs, kernel, height, width):
    layer = Convolution((height, width, inputs), outputs, kernel, padding=padding, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.asarray(draw(outputs))
    x = draw(2, height, width, inputs)
    expected = convolved(x, np.asarray(layer.kernel[...]), np.asarray(layer.bias[...]), padding)
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("inputs", "outputs", "kernel", "height", "width"), SHAPES)
def test_correlation_and_its_gradients_equal_lax(inputs, outputs, kernel, height, width, stride):
    x, k = jnp.asarray(draw(2, height, width, inputs)), jnp.asarray(draw(kernel, kernel, inputs, outputs))
    margins = ((1, 2), (0, 1)) if kernel == 3 else ((2, 2), (2, 2))
    ours = lambda x, k: correlation.correlate(x, k, margins=margins, stride=stride)  # noqa: E731
    theirs = lambda x, k: correlation.lax_convolution(x, k, margins, stride)  # noqa: E731
    towards = jnp.asarray(draw(*jax.eval_shape(theirs, x, k).shape))

    def all_of(correlate):
        """Return values, reverse-mode and forward-mode derivatives, from one program."""
        both = lambda x, k: (correlate(x, k), jax.vjp(correlate, x, k)[1](towards), jax.jvp(correlate, (x, k), (x, k)))  # noqa: E731
        return jax.jit(both)(x, k)

    (value, backwards, (_, forwards)), (expected, transposed, (_, pushed)) = all_of(ours), all_of(theirs)
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
    for mine, reference in zip(backwards, transposed, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(forwards, pushed, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("padding", PADDINGS)
def test_local_convolution_has_separate_weights_per_position(padding):
    layer = LocalConvolution((5, 6, 2), 3, 3, padding=padding, rngs=nnx.Rngs(0))
    x, windows = draw(2, 5, 6, 2), padded(np.zeros((1, 5, 6, 2)), 3, padding)
    height, width = windows.shape[1] - 2, windows.shape[2] - 2
    kernel = np.asarray(layer.kernel[...]).reshape(height, width, 3, 3, 2, 3)
    wide = padded(x, 3, padding)
    expected = [
        [np.einsum("nabc,abco->no", wide[:, i : i + 3, j : j + 3], kernel[i, j]) for j in range(width)]
        for i in range(height)
    ]
    np.testing.assert_allclose(run(layer, x), np.array(expected).transpose(2, 0, 1, 3), rtol=1e-4, atol=1e-5)


def test_local_convolution_with_equal_kernels_is_a_convolution():
    local = LocalConvolution((6, 6, 2), 3, 3, padding="circular", rngs=nnx.Rngs(0))
    shared = Convolution((6, 6, 2), 3, 3, padding="circular", rngs=nnx.Rngs(1))
    local.kernel[...] = jnp.broadcast_to(shared.kernel[...].reshape(1, 1, 18, 3), local.kernel[...].shape)
    x = draw(2, 6, 6, 2)
    np.testing.assert_allclose(run(local, x), run(shared, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
@pytest.mark.parametrize(("name", "reduce"), [("max", np.max), ("avg", np.mean)])
def test_pools_without_overlap_equal_a_loop(name, reduce, shape):
    x = draw(2, *shape, 3)
    even = x[:, : shape[0] // 2 * 2, : shape[1] // 2 * 2]
    windows = even.reshape(2, shape[0] // 2, 2, shape[1] // 2, 2, 3)
    np.testing.assert_allclose(run(pool(name), x), reduce(windows, axis=(2, 4)), rtol=1e-5, atol=1e-6)


def test_ties_of_a_maximum_share_the_gradient():
    gradient = jax.grad(lambda x: pool("max", channels=1)(x).sum())(jnp.zeros((1, 2, 2, 1)))
    np.testing.assert_allclose(gradient, np.full((1, 2, 2, 1), 0.25))


def dense(x, padding):
    wide = padded(x, 2, padding)
    return np.maximum.reduce(
        [wide[:, a : wide.shape[1] - 1 + a, b : wide.shape[2] - 1 + b] for a in (0, 1) for b in (0, 1)]
    )


@pytest.mark.parametrize("taps", range(2, 8))
@pytest.mark.parametrize("padding", PADDINGS)
def test_blur_equals_a_loop(taps, padding):
    x = draw(2, 10, 12, 3)
    row = np.array([math.comb(taps - 1, t) for t in range(taps)]) / 2 ** (taps - 1)
    wide = padded(dense(x, padding), taps, padding)
    expected = [
        [
            np.einsum("nabc,a,b->nc", wide[:, i : i + taps, j : j + taps], row, row)
            for j in range(0, wide.shape[2] - taps + 1, 2)
        ]
        for i in range(0, wide.shape[1] - taps + 1, 2)
    ]
    found = run(pool("blur", padding, blur=str(taps)), x)
    expected = np.array(expected).transpose(2, 0, 1, 3)[:, : found.shape[1], : found.shape[2]]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", ["circular", "reflect", "replicate"])
def test_blur_keeps_a_constant(padding):
    found = run(pool("blur", padding, blur="5"), np.full((1, 8, 8, 3), 0.7, np.float32))
    np.testing.assert_allclose(found, np.full((1, 4, 4, 3), 0.7), rtol=1e-6)


@pytest.mark.parametrize(("norm", "order"), [("l1", 1), ("l2", 2)])
@pytest.mark.parametrize("padding", PADDINGS)
def test_polyphase_pool_selects_the_component_of_largest_norm(norm, order, padding):
    x = draw(5, 8, 8, 3)
    maps = dense(x, padding)
    maps = maps[:, : maps.shape[1] // 2 * 2, : maps.shape[2] // 2 * 2]
    expected = []
    for image in maps:
        components = [image[a::2, b::2] for a in (0, 1) for b in (0, 1)]
        expected.append(max(components, key=lambda part: np.linalg.norm(part.ravel(), order)))
    np.testing.assert_array_equal(run(pool("aps", padding, aps=norm), x), np.array(expected))


def at_every_shift(layer, x):
    """Return the outputs of a layer for all circular shifts of maps [n h w c]: (dy, dx) → maps."""
    shifts = list(np.ndindex(x.shape[1:3]))
    moved = run(layer, np.concatenate([np.roll(x, shift, (1, 2)) for shift in shifts]))
    return dict(zip(shifts, np.split(moved, len(shifts)), strict=True))


@pytest.mark.parametrize("norm", ["l1", "l2", "inf"])
def test_polyphase_pool_is_equivariant_to_every_circular_shift_up_to_a_shift(norm):
    found = at_every_shift(pool("aps", aps=norm), draw(2, 8, 8, 3))
    assert len(found) == 64
    for (dy, dx), moved in found.items():
        rolls = [
            np.roll(found[0, 0], (a, b), (1, 2)) for a in {dy // 2, (dy + 1) // 2} for b in {dx // 2, (dx + 1) // 2}
        ]
        for image in range(2):
            assert any((moved[image] == roll[image]).all() for roll in rolls)


@pytest.mark.parametrize("name", ["max", "avg", "stride", "blur", "aps"])
@pytest.mark.parametrize("shift", [(2, 0), (4, 6), (0, 2)])
def test_every_circular_pool_is_equivariant_to_even_shifts(name, shift):
    layer, x = pool(name), draw(2, 8, 8, 3)
    moved = run(layer, np.roll(x, shift, (1, 2)))
    np.testing.assert_allclose(moved, np.roll(run(layer, x), (shift[0] // 2, shift[1] // 2), (1, 2)), atol=1e-6)


def test_k2_a_stride_is_equivariant_for_a_quarter_of_the_shifts():
    found, exact = at_every_shift(pool("stride"), draw(1, 8, 8, 3)), 0
    for moved in found.values():
        exact += any((moved == np.roll(found[0, 0], (a, b), (1, 2))).all() for a in range(4) for b in range(4))
    assert (len(found), exact) == (64, 64 // 4)


def test_k6_a_max_pooled_impulse_is_unchanged_for_half_of_the_shifts_per_axis():
    layer, impulses = pool("max", channels=1), np.eye(64, dtype=np.float32).reshape(64, 8, 8, 1)
    still = run(layer, impulses)
    for shift in ((1, 0), (0, 1)):
        moved = run(layer, np.roll(impulses, shift, (1, 2)))
        assert (moved == still).all(axis=(1, 2, 3)).sum() == 32


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "height", "width"),
    [(1, 8, 3, 8, 8), (1, 8, 3, 12, 32), (8, 16, 3, 8, 8), (16, 32, 3, 8, 8)],
)
def test_k6_a_circular_convolution_commutes_with_a_roll_bitwise(inputs, outputs, kernel, height, width):
    layer = jax.jit(Convolution((height, width, inputs), outputs, kernel, padding="circular", rngs=nnx.Rngs(0)))
    x = draw(2, height, width, inputs)
    for shift in ((1, 0), (0, 1), (3, 5)):
        np.testing.assert_array_equal(layer(np.roll(x, shift, (1, 2))), np.roll(layer(x), shift, (1, 2)))


def test_k1_integer_weights_with_sum_pooling_are_bitwise_invariant():
    layer = Convolution((8, 8, 1), 4, 3, padding="circular", rngs=nnx.Rngs(0))
    layer.kernel[...] = jnp.asarray(rng.integers(-3, 4, (3, 3, 1, 4)), jnp.float32)
    x = rng.integers(0, 9, (2, 8, 8, 1)).astype(np.float32)
    total = jax.jit(lambda x: jax.nn.relu(layer(x)).sum(axis=(1, 2)))
    for shift in np.ndindex(8, 8):
        np.testing.assert_array_equal(total(np.roll(x, shift, (1, 2))), total(x))


def test_k15_zero_padding_has_errors_in_border_rows_and_columns_only():
    layer = Convolution((9, 9, 2), 4, 3, padding="zero", rngs=nnx.Rngs(0))
    x = draw(2, 9, 9, 2)
    moved, rolled = run(layer, np.roll(x, (1, 1), (1, 2))), np.roll(run(layer, x), (1, 1), (1, 2))
    wrong = np.abs(moved - rolled).max(axis=(0, 3)) > 1e-4
    inner = [i for i in range(9) if i not in (0, 1, 8)]
    assert not wrong[np.ix_(inner, inner)].any()
    assert wrong[0].any()
    assert wrong[:, 0].any()
