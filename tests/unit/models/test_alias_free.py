"""Alias-free layers compared with numpy's Fourier transform, and under fractional shifts."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnnshift.models.layers.normalization import AliasFreeNorm
from cnnshift.models.layers.polynomial import Polynomial
from cnnshift.shifts.fourier import fourier_shift
from tests.pooling import distance, draw, network, pool, rng, run

FRACTIONS = [(1 / 3, 0.0), (-0.21, 0.77), (0.5, 2.5), (1.0, 0.0)]


def fourier(x, d):
    return np.asarray(fourier_shift(jnp.asarray(x), jnp.array(d, jnp.float32)))


def low_pass(x, axis, kept, *, highest):
    """Low-pass one axis with numpy's transform to `kept` pixels; `highest` keeps one sign of kept/2."""
    size, spectrum = x.shape[axis], np.fft.fft(x.astype(np.float64), axis=axis)
    frequencies = np.fft.fftfreq(size, 1 / size)
    part = np.zeros((*x.shape[:axis], kept, *x.shape[axis + 1 :]), complex)
    for source, k in enumerate(frequencies.astype(int)):
        if -kept / 2 < k < kept / 2 or (highest and k == -kept / 2):
            part[(slice(None),) * axis + (k % kept,)] = spectrum[(slice(None),) * axis + (source,)]
    return np.fft.ifft(part, axis=axis).real * kept / size


def up(x, axis):
    """Double the pixels of one axis with numpy's transform, without the Nyquist frequency of an even size."""
    size, spectrum = x.shape[axis], np.fft.fft(x, axis=axis)
    part = np.zeros((*x.shape[:axis], 2 * size, *x.shape[axis + 1 :]), complex)
    for source, k in enumerate(np.fft.fftfreq(size, 1 / size).astype(int)):
        if abs(k) < size / 2:
            part[(slice(None),) * axis + (k % (2 * size),)] = spectrum[(slice(None),) * axis + (source,)]
    return np.fft.ifft(part, axis=axis).real * 2


@pytest.mark.parametrize(("name", "highest"), [("flc", True), ("afc", False)])
@pytest.mark.parametrize(("height", "width", "stride"), [(8, 12, 2), (6, 10, 2), (12, 9, 3), (16, 4, 4), (2, 4, 2)])
def test_ideal_low_pass_equals_numpys_transform(name, highest, height, width, stride):
    x = draw(2, height, width, 3)
    expected = low_pass(x, 1, height // stride, highest=highest)
    expected = low_pass(expected, 2, width // stride, highest=highest)
    np.testing.assert_allclose(run(pool(name, stride=stride), x), expected, atol=2e-6)


@pytest.mark.parametrize(("name", "edge"), [("flc", 0.5), ("afc", 0.0)])
def test_the_frequency_response_is_a_box(name, edge):
    # Frequency k of 16 pixels is frequency k of the remaining 8; below 4 the gain is 1.
    gains = [1, 1, 1, 1, edge, 0, 0, 0, 0]
    waves = np.cos(2 * np.pi * np.outer(np.arange(9), np.arange(16)) / 16)
    out = run(pool(name, channels=1), np.tile(waves[:, :, None, None], (1, 1, 16, 1)).astype(np.float32))
    expected = np.array(gains)[:, None] * np.cos(2 * np.pi * np.outer(np.arange(9), np.arange(8)) / 8)
    np.testing.assert_allclose(out, np.tile(expected[:, :, None, None], (1, 1, 8, 1)), atol=2e-6)


@pytest.mark.parametrize("name", ["flc", "afc"])
def test_ideal_low_pass_is_linear(name):
    a, b = draw(2, 8, 8, 3)
    found, of_a, of_b = run(pool(name), np.stack([2 * a - b, a, b]))
    np.testing.assert_allclose(found, 2 * of_a - of_b, atol=1e-5)


@pytest.mark.parametrize("stride", [2, 3])
def test_afc_commutes_with_fractional_shifts(stride):
    layer, x = pool("afc", stride=stride), draw(2, 12, 12, 3)
    still = run(layer, x)
    for d in FRACTIONS:
        assert distance(run(layer, fourier(x, d)), fourier(still, np.divide(d, stride))) < 3e-6


@pytest.mark.parametrize(("height", "width"), [(8, 6), (7, 9)])
def test_polynomial_equals_upsampling_square_and_low_pass(height, width):
    layer, x = Polynomial(3), draw(2, height, width, 3)
    layer.coefficients[...] = jnp.asarray(draw(3, 3))
    a, b, c = np.asarray(layer.coefficients[...], np.float64)
    fine = up(up(x.astype(np.float64), 1), 2)
    expected = low_pass(low_pass(a + b * fine + c * fine**2, 1, height, highest=False), 2, width, highest=False)
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [8, 9])
def test_polynomial_and_alias_free_norm_commute_with_fractional_shifts(size):
    x = draw(2, size, size, 3)
    for layer in (Polynomial(3), AliasFreeNorm(3)):
        for d in FRACTIONS:
            assert distance(run(layer, fourier(x, d)), fourier(run(layer, x), d)) < 3e-6
    rectified = np.maximum(x, 0)
    assert distance(np.maximum(fourier(x, (1 / 3, 0)), 0), fourier(rectified, (1 / 3, 0))) > 1e-2


def test_alias_free_norm_has_mean_0_and_variance_1_per_image():
    y = run(AliasFreeNorm(3), 5 + 3 * draw(2, 9, 7, 3))
    np.testing.assert_allclose(y.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axis=(1, 2, 3)), 1, rtol=1e-4)


@pytest.mark.parametrize("more", ["norm=alias_free", "norm=batch,stride=4"])
def test_k11_an_alias_free_network_is_invariant_to_fractional_shifts(more):
    text = "cnn:pool=afc,activation=poly,padding=circular,head=gap,width=4,depth=2"
    # Noise contains every frequency, including Nyquist.
    model, x = network(f"{text},{more}", (16, 16, 2)), rng.random((1, 16, 16, 2)).astype(np.float32)
    still, *moved = run(model, np.concatenate([x, *(fourier(x, d) for d in FRACTIONS)]))
    assert max(distance(one, still) for one in moved) < 1e-5


def test_k11_relu_breaks_the_invariance_of_an_alias_free_network():
    model = network("cnn:pool=afc,padding=circular,head=gap,width=4,depth=2", (16, 16, 2))
    x = rng.random((1, 16, 16, 2)).astype(np.float32)
    still, moved = run(model, np.concatenate([x, fourier(x, (1 / 3, 0))]))
    assert distance(moved, still) > 1e-3
