"""The formulations of cross-correlation: equal values and derivatives, and bitwise equivariance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from cnnshift.models.base import Options
from cnnshift.models.layers import correlation
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import dense_max
from cnnshift.models.layers.max_pool import MaxPool
from cnnshift.models.layers.polyphase import polyphase_components
from cnnshift.models.layers.xla import jit_noinline

rng = np.random.default_rng(0)
SAME, FULL = ((1, 1), (1, 1)), ((2, 2), (2, 2))
FORMULATIONS = {
    "shifted_sum": correlation.shifted_sum,
    "two_pixel_blocks": functools.partial(correlation.blocked_rows, pixels=2),
    "four_pixel_blocks": functools.partial(correlation.blocked_rows, pixels=4),
    "lax_convolution_on_cpu": correlation.lax_convolution_on_cpu,
    "im2col": correlation.im2col,
}


def draw(*shape):
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def derivatives(function, x, k, cotangent):
    """Return the gradients of both arguments, and the directional derivative along both."""

    @jax.jit
    def of(x, k, cotangent):
        return [*jax.vjp(function, x, k)[1](cotangent), jax.jvp(function, (x, k), (x * 0.5, k * 2))[1]]

    return of(x, k, cotangent)


@pytest.mark.parametrize(("inputs", "outputs", "height", "width"), [(1, 8, 6, 7), (1, 12, 8, 8), (5, 6, 7, 5)])
def test_all_formulations_agree(inputs, outputs, height, width):
    x, k = draw(2, height, width, inputs), draw(3, 3, inputs, outputs)

    @functools.partial(jax.jit, static_argnums=2)
    def results(x, k, margins):
        chosen = {name: f for name, f in FORMULATIONS.items() if name != "im2col" or inputs == 1}
        return {name: f(x, k, margins, 1) for name, f in chosen.items()}

    for margins in (SAME, correlation.NO_MARGINS, FULL, ((0, 2), (1, 0))):
        expected = correlation.lax_convolution(x, k, margins, 1)
        for name, found in results(x, k, margins).items():
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "height", "width"),
    [(1, 8, 3, 8, 8), (1, 4, 5, 8, 7), (8, 16, 3, 6, 8), (16, 32, 3, 4, 6)],
)
def test_circular_borders(inputs, outputs, kernel, height, width, stride):
    x, k, reach = draw(2, height, width, inputs), draw(kernel, kernel, inputs, outputs), kernel // 2
    margins = ((reach, reach), (reach, reach))
    ours = functools.partial(correlation.correlate, margins=margins, wrap=True, stride=stride)

    def theirs(x, k):
        wide = jnp.pad(x, ((0, 0), *margins, (0, 0)), mode="wrap")
        return correlation.lax_convolution(wide, k, correlation.NO_MARGINS, stride)

    expected = jax.jit(theirs)(x, k)
    np.testing.assert_allclose(jax.jit(ours)(x, k), expected, rtol=1e-4, atol=1e-4)
    cotangent = draw(*expected.shape)
    for mine, reference in zip(derivatives(ours, x, k, cotangent), derivatives(theirs, x, k, cotangent), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-3, atol=1e-3)


def test_second_derivatives_and_vmap():
    x, k = draw(2, 6, 6, 3), draw(3, 3, 3, 4)
    ours = functools.partial(correlation.correlate, margins=SAME)
    theirs = functools.partial(correlation.lax_convolution, margins=SAME, stride=1)

    def curvature(function):
        return jax.jit(lambda x: jax.jvp(jax.grad(lambda x: (function(x, k) ** 2).sum()), (x,), (x,))[1])(x)

    np.testing.assert_allclose(curvature(ours), curvature(theirs), rtol=1e-3, atol=1e-2)
    many = jnp.stack([x, 2 * x, -x])
    along = jax.jit(jax.vmap(lambda x: jax.jvp(lambda x: ours(x, k), (x,), (x,))[1]))(many)
    np.testing.assert_allclose(along, jax.jit(jax.vmap(lambda x: theirs(x, k)))(many), rtol=1e-3, atol=1e-3)


def test_an_accelerator_uses_lax_convolution(monkeypatch):
    x, k = draw(2, 6, 6, 1), draw(3, 3, 1, 4)
    expected = correlation.correlate(x, k, margins=SAME)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    program = jax.make_jaxpr(lambda x, k: correlation.correlate(x, k, margins=SAME))(x, k)
    assert "conv_general_dilated" in str(program)
    np.testing.assert_allclose(correlation.correlate(x, k, margins=SAME), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(
    ("inputs", "outputs", "size"),
    [(1, 8, 32), (3, 8, 16), (8, 16, 16), (16, 32, 8), (16, 16, 7), (3, 32, 9)],
)
def test_circular_convolution_is_bitwise_equivariant(inputs, outputs, size, kernel):
    layer = Convolution((size, size, inputs), outputs, kernel, padding="circular", rngs=nnx.Rngs(0))
    x, shifts = draw(3, size, size, inputs), jnp.array([(0, 0), (1, 0), (0, 1), (3, 2), (-1, 4)])
    # As in a sweep: one compiled loop over traced shifts.
    still, *moved = jax.jit(lambda x: lax.map(lambda d: layer(jnp.roll(x, d, (1, 2))), shifts))(x)
    for d, found in zip(shifts[1:], moved, strict=True):
        np.testing.assert_array_equal(found, np.roll(still, d, (1, 2)))


def test_k6_a_dense_circular_maximum_is_bitwise_equivariant():
    x, layer = draw(2, 6, 8, 3), jax.jit(lambda x: dense_max(x, "circular"))
    still = np.asarray(layer(x))
    for dy in range(6):
        for dx in range(8):
            np.testing.assert_array_equal(layer(np.roll(x, (dy, dx), (1, 2))), np.roll(still, (dy, dx), (1, 2)))


def test_gradient_of_max_pool_equals_automatic_differentiation():
    x, cotangent = draw(2, 6, 8, 3), draw(2, 3, 4, 3)
    pool = MaxPool(3, padding="zero", options=Options(), rngs=nnx.Rngs(0))

    def plain(x):
        return functools.reduce(jnp.maximum, polyphase_components(x))

    def both(function):
        return jax.jit(lambda x: (jax.vjp(function, x)[1](cotangent)[0], jax.jvp(function, (x,), (x,))[1]))(x)

    for found, expected in zip(both(pool), both(plain), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_jit_noinline_compiles_a_separate_call_with_the_same_values():
    def cube(x):
        return x * x * x

    noinline, x = jit_noinline(cube), draw(5)
    text = jax.jit(lambda x: noinline(x + 1) + 1).lower(x).compile().as_text()
    assert " call(" in text
    np.testing.assert_allclose(jax.vmap(jax.grad(noinline))(x), 3 * x * x, rtol=1e-5)
    np.testing.assert_array_equal(noinline(x), jax.jit(cube)(x))
