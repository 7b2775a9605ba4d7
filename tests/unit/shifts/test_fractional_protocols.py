"""Shifts by fractions of a pixel, compared with explicit Fourier sums and the interpolation of SciPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from cnnshift.catalog import PROTOCOLS
from cnnshift.data.split import Split
from cnnshift.shifts.bilinear import Bilinear
from cnnshift.shifts.fourier import Fourier, fourier_shift

SIZES = [(6, 7), (8, 8), (5, 9), (1, 4)]
REACH = 3
FRACTIONAL = [name for name in PROTOCOLS if PROTOCOLS.load(name).fractional]


def pixels(size, n=2, channels=2):
    return np.random.default_rng(0).random((n, *size, channels)).astype(np.float32)


@functools.cache
def compiled(protocol, size):
    """Return T_d as a sweep runs it: one compiled program for all d."""
    return jax.jit(protocol(size, reach=min(REACH, max(size) - 1), background=(0.0, 0.0)).shift)


def move(protocol, images, d):
    return np.asarray(compiled(protocol, images.shape[1:3])(jnp.asarray(images), jnp.asarray(d)))


def explicit_sum(images, d):
    """Multiply every frequency (k, l) of the Fourier sum by e^(-2πi (k dy / H + l dx / W)), in float64.

    k and l range from -N/2 to N/2; for an even N, the frequencies ±N/2 have half of one coefficient each.
    """
    _, height, width, _ = images.shape
    total = np.zeros(images.shape, complex)
    i, j = np.mgrid[:height, :width]
    for k in range(-(height // 2), height // 2 + 1):
        for l in range(-(width // 2), width // 2 + 1):  # noqa: E741
            share = (0.5 if 2 * abs(k) == height else 1) * (0.5 if 2 * abs(l) == width else 1)
            wave = np.exp(2j * np.pi * (k * i / height + l * j / width))
            coefficient = np.einsum("nijc,ij->nc", images.astype(float), wave.conj()) / (height * width)
            moved = np.exp(-2j * np.pi * (k * d[0] / height + l * d[1] / width))
            total += share * moved * coefficient[:, None, None] * wave[None, :, :, None]
    np.testing.assert_allclose(total.imag, 0, atol=1e-12)
    return total.real


@pytest.mark.parametrize("size", SIZES)
@given(numerators=st.tuples(st.integers(-9, 9), st.integers(-9, 9)), denominator=st.sampled_from([2, 3, 7]))
def test_fourier_equals_the_explicit_sum(size, numerators, denominator):
    images = pixels(size)
    d = np.array(numerators) / denominator
    expected = explicit_sum(images, d)
    np.testing.assert_allclose(move(Fourier, images, d), expected, atol=2e-6)
    np.testing.assert_allclose(fourier_shift(jnp.asarray(images), jnp.asarray(d)), expected, atol=2e-6)


def band_limited(size):
    """Return random images without energy at the Nyquist frequency."""
    spectrum = np.fft.fft2(pixels(size), axes=(1, 2))
    low = [np.abs(np.fft.fftfreq(n)) < 0.5 for n in size]
    return np.fft.ifft2(spectrum * np.outer(*low)[None, :, :, None], axes=(1, 2)).real.astype(np.float32)


@pytest.mark.parametrize("size", [(6, 7), (8, 8)])
@given(
    a=st.tuples(st.integers(-4, 4), st.integers(-4, 4)),
    b=st.tuples(st.integers(-4, 4), st.integers(-4, 4)),
)
def test_fourier_shifts_compose_for_band_limited_images(size, a, b):
    a, b = np.array(a) / 3, np.array(b) / 3
    images = band_limited(size)
    np.testing.assert_allclose(move(Fourier, move(Fourier, images, a), b), move(Fourier, images, a + b), atol=3e-6)
    np.testing.assert_allclose(move(Fourier, move(Fourier, images, a), -a), images, atol=3e-6)


def test_the_nyquist_frequency_is_multiplied_by_the_cosine():
    checkers = np.tile([[0.0, 1.0], [1.0, 0.0]], (4, 4)).astype(np.float32)[None, :, :, None]
    for d in (1 / 3, 0.5, 1.0, 1.5):
        # Mean ½, and amplitude ½ at the Nyquist frequency of both axes, which is multiplied by cos².
        expected = 0.5 + (checkers - 0.5) * np.cos(np.pi * d) ** 2
        np.testing.assert_allclose(move(Fourier, checkers, np.array([d, d])), expected, atol=1e-6)


def test_fourier_rings_and_is_not_clipped():
    edge = np.zeros((1, 4, 64, 1), np.float32)
    edge[:, :, 16:48] = 1
    moved = np.asarray(Fourier((4, 64), reach=1).shift(jnp.asarray(edge), jnp.array([0.0, 0.5])))
    assert (moved.min(), moved.max()) == (pytest.approx(-0.137, abs=1e-3), pytest.approx(1.137, abs=1e-3))


@pytest.mark.parametrize("size", [(6, 7), (8, 8), (5, 9)])
@given(
    numerators=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    denominator=st.sampled_from([3, 4, 7]),
)
def test_bilinear_equals_periodic_linear_interpolation(size, numerators, denominator):
    images = pixels(size)
    d = np.clip(np.array(numerators) / denominator, -REACH, REACH)
    expected = ndimage.shift(images.astype(float), (0, *d, 0), order=1, mode="grid-wrap", prefilter=False)
    found = move(Bilinear, images, d)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.min() >= images.min() - 1e-6
    assert found.max() <= images.max() + 1e-6


@pytest.mark.parametrize("d", [(3, -2), (0, 0), (-3, 3)])
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_bilinear_equals_the_roll_bit_for_bit_at_whole_pixels(d, kind):
    images = pixels((6, 7))
    np.testing.assert_array_equal(move(Bilinear, images, np.array(d, kind)), np.roll(images, d, (1, 2)))


@given(frequency=st.integers(0, 4), eighths=st.integers(0, 8))
def test_bilinear_attenuates_frequencies_as_documented(frequency, eighths):
    f, omega = eighths / 8, 2 * np.pi * frequency / 8
    wave = np.cos(omega * np.arange(8)).astype(np.float32)[None, None, :, None]
    moved = move(Bilinear, wave, np.array([0.0, f]))[0, 0, :, 0]
    gain = abs(np.fft.fft(moved)[frequency]) / abs(np.fft.fft(wave[0, 0, :, 0])[frequency])
    assert gain == pytest.approx(abs(1 - f + f * np.exp(-1j * omega)), abs=1e-6)


@pytest.mark.parametrize("name", FRACTIONAL)
@pytest.mark.parametrize("d", [(1 / 3, 0), (0, 2 / 3), (-4 / 3, 5 / 3)])
def test_the_centre_of_mass_moves_by_the_shift(name, d):
    # A blob far from the border.
    i, j = np.mgrid[:24, :24]
    blob = np.exp(-((i - 11) ** 2 + (j - 12) ** 2) / 8).astype(np.float32)[None, :, :, None]
    protocol = PROTOCOLS.load(name)((24, 24), reach=2)
    moved = np.asarray(protocol.shift(jnp.asarray(blob), jnp.asarray(d)))[0, :, :, 0].astype(float)
    centre = [(moved * axis).sum() / moved.sum() for axis in (i, j)]
    assert centre == pytest.approx([11 + d[0], 12 + d[1]], abs=1e-4)


@pytest.mark.parametrize("name", FRACTIONAL)
def test_whole_shifts_can_be_integers_or_floats(name):
    images = pixels((6, 7))
    protocol = PROTOCOLS.load(name)
    np.testing.assert_array_equal(
        move(protocol, images, np.array([2, -1], np.int32)), move(protocol, images, np.array([2, -1], np.float32))
    )


def oversampled(images, function):
    """Upsample by 2, apply a pointwise function, then an ideal low-pass filter, and downsample."""
    size = images.shape[1]
    fine, band = 2 * size, size // 2

    def keep(spectrum, n):
        inside = np.abs(np.fft.fftfreq(n) * n) < band
        return spectrum * jnp.asarray(np.outer(inside, inside))[None, :, :, None]

    spectrum = np.zeros((len(images), fine, fine, images.shape[3]), complex)
    index = np.fft.fftfreq(size, 1 / size).astype(int)
    spectrum[:, index[:, None], index[None, :]] = np.asarray(keep(jnp.fft.fft2(images, axes=(1, 2)), size)) * 4
    up = jnp.fft.ifft2(jnp.asarray(spectrum), axes=(1, 2)).real
    return jnp.fft.ifft2(keep(jnp.fft.fft2(function(up), axes=(1, 2)), fine), axes=(1, 2)).real[:, ::2, ::2]


@pytest.mark.parametrize(
    ("function", "d", "exact"),
    [
        (jnp.square, 1 / 3, True),
        (jnp.square, 1 / 2, True),
        (jax.nn.relu, 1 / 3, False),
        (jax.nn.relu, 1 / 2, True),
        (jax.nn.relu, 1, True),
    ],
)
def test_k11_an_oversampled_relu_looks_equivariant_at_half_pixels_only(function, d, exact):
    # The reason why the default step is 1/3.
    images = jnp.asarray(band_limited((16, 16)) - 0.5)
    shift = jnp.array([d, d], jnp.float32)
    gap = jnp.abs(
        oversampled(fourier_shift(images, shift), function) - fourier_shift(oversampled(images, function), shift)
    )
    assert (float(gap.max()) < 1e-5) == exact
    assert exact or float(gap.max()) > 1e-3


@pytest.mark.parametrize("name", FRACTIONAL)
def test_periodic_protocols_lose_no_energy(name):
    split = Split(np.full((2, 8, 8, 1), 200, np.uint8), np.zeros(2, np.int32), ("a",), background=(0.0,))
    protocol = PROTOCOLS.load(name)(split.size, reach=1)
    assert not protocol.energy_loss(split.windows.astype(float), np.array([[1 / 3, 0], [0, -2 / 3]])).any()
