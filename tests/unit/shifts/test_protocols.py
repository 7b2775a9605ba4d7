"""Protocols, compared with their pixel-wise definition in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnshift.catalog import PROTOCOLS
from cnnshift.errors import InputError

H, W, CONTEXT = 6, 7, 3
BACKGROUND = (0.25, 0.5)
# The Fourier transform rounds; all others copy pixels exactly.
ROUNDING = {"fourier": 1e-6}


def sources(n=2, context=CONTEXT):
    rng = np.random.default_rng(0)
    return rng.random((n, H + 2 * context, W + 2 * context, 2)).astype(np.float32)


def make(name, reach=CONTEXT, context=CONTEXT):
    return PROTOCOLS.load(name)((H, W), reach=reach, context=context, background=BACKGROUND)


def pixel(name, source, i, j):
    """Return pixel (i, j) of the window, which may lie outside it: this defines what enters at the border."""
    window = source[CONTEXT : CONTEXT + H, CONTEXT : CONTEXT + W]
    inside = 0 <= i < H and 0 <= j < W
    if name in ("circular", "fourier", "bilinear"):
        return window[i % H, j % W]
    if name == "zero":
        return window[i, j] if inside else np.array(BACKGROUND, np.float32)
    if name == "crop":
        return source[i + CONTEXT, j + CONTEXT]
    if name == "replicate":
        return window[min(max(i, 0), H - 1), min(max(j, 0), W - 1)]
    if name == "reflect":
        mirror = lambda t, size: abs(t) if t < size else 2 * (size - 1) - t  # noqa: E731
        return window[mirror(i, H), mirror(j, W)]
    raise AssertionError(f"the protocol {name} has no definition in this test")


@pytest.mark.parametrize("name", PROTOCOLS)
@given(dy=st.integers(-CONTEXT, CONTEXT), dx=st.integers(-CONTEXT, CONTEXT))
def test_moves_content_down_and_right(name, dy, dx):
    images = sources()
    found = np.asarray(make(name).shift(jnp.asarray(images), jnp.array([dy, dx])))
    for image, moved in zip(images, found, strict=True):
        expected = [[pixel(name, image, i - dy, j - dx) for j in range(W)] for i in range(H)]
        np.testing.assert_allclose(moved, np.array(expected), rtol=0, atol=ROUNDING.get(name, 0))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_shift_is_the_window(name):
    images = sources()
    protocol = make(name)
    moved = protocol.shift(jnp.asarray(images), jnp.array([0, 0]))
    np.testing.assert_allclose(moved, protocol.window(jnp.asarray(images)), rtol=0, atol=ROUNDING.get(name, 0))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_move_each_applies_a_different_shift_to_every_image(name):
    images = jnp.asarray(sources(3))
    protocol = make(name)
    shifts = jnp.array([[1, -2], [0, 3], [-3, 0]]) / (3 if protocol.fractional else 1)
    shifts = shifts if protocol.fractional else shifts.astype(jnp.int32)
    each = protocol.move_each(protocol.prepare(images), shifts)
    for image, d, moved in zip(images, shifts, each, strict=True):
        np.testing.assert_array_equal(moved, protocol.shift(image[None], d)[0])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_one_trace_serves_all_shifts(name):
    protocol, traces = make(name), []

    @jax.jit
    def shift(images, d):
        traces.append(d)
        return protocol.shift(images, d)

    for d in ([0, 1], [2, -1], [-3, 3]):
        shift(jnp.asarray(sources()), jnp.array(d) / 3 if protocol.fractional else jnp.array(d))
    assert len(traces) == 1


def test_circular_is_roll():
    images = jnp.asarray(sources())
    protocol = make("circular")
    moved = protocol.shift(images, jnp.array([2, -3]))
    np.testing.assert_array_equal(moved, jnp.roll(protocol.window(images), (2, -3), (1, 2)))


@pytest.mark.parametrize("name", PROTOCOLS)
@given(dy=st.integers(-CONTEXT, CONTEXT), dx=st.integers(-CONTEXT, CONTEXT))
def test_energy_loss_is_the_fraction_that_leaves(name, dy, dx):
    protocol = make(name)
    windows = np.asarray(protocol.window(jnp.asarray(sources())))
    energy = ((windows.astype(float) - BACKGROUND) ** 2).sum(-1)
    remaining = np.zeros(len(windows))
    for i in range(H):
        for j in range(W):
            if protocol.wraps or (0 <= i + dy < H and 0 <= j + dx < W):
                remaining += energy[:, i, j]
    found = protocol.energy_loss(windows, np.array([[dy, dx]], np.int32))
    np.testing.assert_allclose(found[:, 0], 1 - remaining / energy.sum((1, 2)), atol=1e-12)


def test_an_image_without_foreground_loses_no_energy():
    windows = np.broadcast_to(np.array(BACKGROUND), (1, H, W, 2))
    assert make("zero").energy_loss(windows, np.array([[3, 3]], np.int32)) == 0


@pytest.mark.parametrize(
    "name", sorted(name for name in PROTOCOLS if not PROTOCOLS.load(name).wraps and name != "crop")
)
def test_a_reach_beyond_the_image_is_refused(name):
    with pytest.raises(InputError, match=r"max-shift is 6.*at most 5"):
        make(name, reach=6)


def test_crop_is_limited_to_its_context():
    with pytest.raises(InputError, match=r"max-shift is 4.*at most 3"):
        make("crop", reach=4)
    with pytest.raises(InputError, match="have no context"):
        make("crop", context=0)
