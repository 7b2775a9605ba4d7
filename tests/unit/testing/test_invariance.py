"""`assert_shift_invariant` against brute force in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnshift import assert_shift_invariant
from cnnshift.errors import InputError, MeasurementError
from cnnshift.models.base import build
from cnnshift.spec import ModelSpec
from tests.asserting import IMAGES, PIXELS, WEIGHTS, every_shift, failure, positional


def test_polyphase_sampling_and_a_global_average_are_invariant():
    net = build(ModelSpec.parse("cnn:padding=circular,head=gap,pool=aps,depth=1,width=2"), (8, 8, 1), 10, seed=0)
    assert_shift_invariant(net, PIXELS, shifts="full")


def brute_force_invariance(shifts):
    """Return classes [n, 1 + s] and probabilities of the unshifted class [n, 1 + s], by numpy."""
    classes, probabilities = [], []
    for d in [(0, 0), *shifts]:
        logits = np.roll(PIXELS / np.float32(255), d, (1, 2)).reshape(len(PIXELS), -1) @ WEIGHTS
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        classes.append(logits.argmax(axis=1))
        probabilities.append((powers / powers.sum(axis=1, keepdims=True))[np.arange(len(PIXELS)), classes[0]])
    return np.array(classes).T, np.array(probabilities).T


def test_the_message_states_the_worst_image_and_its_smallest_shift():
    shifts = [d for d in every_shift(8) if max(map(abs, d)) <= 3]
    classes, probabilities = brute_force_invariance(shifts)
    changes = classes[:, 1:] != classes[:, :1]
    often = changes.sum(axis=1)
    n = int(often.argmax())
    i = 1 + int(changes[n].argmax())
    before, after, (dy, dx) = classes[n, 0], classes[n, i], shifts[i - 1]
    expected = np.floor(1e4 * (1 - often.sum() / changes.size)) / 1e4
    assert failure(assert_shift_invariant, positional, PIXELS, max_shift=3, min_consistency=0.99, batch_size=2) == (
        f"model is not shift invariant [circular, |d|≤3]: consistency {expected:.4f} over 5 images × 48 shifts, "
        f"required 0.99. {often.sum()} of 240 predictions change, in {(often > 0).sum()} of 5 images. "
        f"Image {n} changes most often ({often[n]} of 48 shifts); the smallest of these shifts, (dy={dy}, dx={dx}), "
        f"changes class {before} → {after}, P({before}) {probabilities[n, 0]:.4f} → {probabilities[n, i]:.4f}."
    )


def test_a_consistency_equal_to_the_requirement_passes():
    shifts = [d for d in every_shift(8) if max(map(abs, d)) <= 3]
    classes, _ = brute_force_invariance(shifts)
    agree = int((classes[:, 1:] == classes[:, :1]).sum())
    assert_shift_invariant(positional, PIXELS, max_shift=3, min_consistency=agree / 240)
    above = np.nextafter(agree / 240, 1)
    message = failure(assert_shift_invariant, positional, PIXELS, max_shift=3, min_consistency=float(above))
    assert f"{240 - agree} of 240 predictions change" in message
    assert_shift_invariant(positional, PIXELS, min_consistency=0)


def test_zeros_at_the_border_and_shifts_per_image():
    message = failure(assert_shift_invariant, positional, PIXELS, protocol="zero", shifts="random:9", background=0.5)
    assert "[zero, |d|≤4]" in message
    assert "over 5 images × 9 shifts" in message
    # The prediction for a white image depends on the pixels that enter.
    dot = np.zeros((2, 8, 8, 1), np.float32)
    dot[1] = 1
    dark = lambda x: jnp.stack([x.mean(axis=(1, 2, 3)), jnp.full(len(x), 0.9)], axis=1)  # noqa: E731
    assert_shift_invariant(dark, dot, protocol="zero", max_shift=2, background=(1.0,), shifts="axis")
    message = failure(assert_shift_invariant, dark, dot, protocol="zero", max_shift=2, shifts="axis")
    assert "8 of 16 predictions change, in 1 of 2 images. Image 1 changes most often (8 of 8 shifts)" in message
    assert "the smallest of these shifts, (dy=1, dx=0), changes class 0 → 1" in message


def test_fractions_of_a_pixel():
    # No shift changes the mean of all pixels; a sub-pixel shift changes their maximum.
    mean = lambda x: jnp.stack([x.mean(axis=(1, 2, 3)), jnp.full(len(x), 0.3)], axis=1)  # noqa: E731
    peak = lambda x: jnp.stack([x.max(axis=(1, 2, 3)), jnp.full(len(x), 0.7)], axis=1)  # noqa: E731
    line = np.zeros((1, 8, 8, 1), np.float32)
    line[:, 3] = 1
    for protocol in ("fourier", "bilinear"):
        assert_shift_invariant(mean, line, protocol=protocol, max_shift=1)
        assert_shift_invariant(peak, line, protocol=protocol, max_shift=1, step=1)
    message = failure(assert_shift_invariant, peak, line, protocol="bilinear", max_shift=1)
    assert "[bilinear, |d|≤1]: consistency 0.4166 over 1 images × 48 shifts" in message
    assert "the smallest of these shifts, (dy=1/3, dx=0), changes class 0 → 1" in message
    message = failure(assert_shift_invariant, peak, line, protocol="fourier", max_shift=0.5, step=1 / 4)
    # A line keeps 64 % of its maximum at ½ px, 90 % at ¼ px.
    assert "[fourier, |d|≤1/2]" in message
    assert "the smallest of these shifts, (dy=1/2, dx=0)," in message


def test_crop_takes_pixels_from_the_context():
    inner = PIXELS.copy()
    assert_shift_invariant(lambda x: x.mean(axis=1).repeat(2, -1)[:, 0], inner, protocol="crop", context=2, max_shift=2)
    with pytest.raises(InputError, match="'crop' needs source images larger than the window"):
        assert_shift_invariant(positional, PIXELS, protocol="crop")


def test_a_numpy_function_runs_in_a_callback():
    def host(images):
        return np.asarray(images).reshape(len(images), -1) @ WEIGHTS

    def model(images):
        return jax.pure_callback(host, jax.ShapeDtypeStruct((len(images), 3), np.float32), images)

    messages = [
        failure(assert_shift_invariant, f, PIXELS, max_shift=1).partition(" Image")[0] for f in (positional, model)
    ]
    assert messages[0] == messages[1]


def test_logits_that_are_not_finite_are_a_measurement_error():
    with pytest.raises(MeasurementError, match="logits that are not finite numbers"):
        assert_shift_invariant(lambda x: positional(x) * jnp.nan, PIXELS)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (positional, {"min_consistency": 1.1}, r"min_consistency is 1.1; allowed: from 0 to 1"),
        (positional, {"min_consistency": float("nan")}, r"min_consistency is nan"),
        (positional, {"protocol": "cirular"}, "'cirular'.* Did you mean 'circular'"),
        (positional, {"shifts": "gird"}, "Unknown shift set 'gird'; allowed: grid"),
        (positional, {"max_shift": 8}, "max-shift is 8; allowed: 1 .* to 7"),
        (positional, {"step": 0}, "step is 0; allowed"),
        (positional, {"step": 0.5}, "step is 1/2; allowed: whole pixels. Only the protocols fourier and"),
        (positional, {"step": "0.333333", "protocol": "fourier"}, "step is 0.333333; allowed: pixels above 0"),
        (positional, {"batch_size": -1}, "batch_size is -1; allowed"),
        (positional, {"background": (0.0, 0.0)}, r"background is \(0.0, 0.0\); allowed: 1 values"),
        (positional, {"background": 2.0}, r"background is \(2.0,\); allowed"),
        (positional, {"context": 4}, "context is 4; allowed"),
        (lambda x: x.mean(axis=(1, 2)), {}, r"model returns an array of shape \(5, 1\) .* allowed: \(5, k\)"),
        (jnp.tanh, {}, r"model returns an array of shape \(5, 8, 8, 1\)"),
        (lambda x: jnp.asarray(np.asarray(x)), {}, "model cannot be traced by JAX"),
    ],
)
def test_bad_arguments_of_invariance(model, options, message):
    with pytest.raises(InputError, match=message):
        assert_shift_invariant(model, PIXELS, **options)


def test_images_must_be_on_the_scale_from_0_to_1():
    with pytest.raises(InputError, match=r"outside 0\.\.1; allowed: uint8, or floats from 0 to 1"):
        assert_shift_invariant(positional, IMAGES)
    with pytest.raises(InputError, match="1×1 pixels, which no shift changes"):
        assert_shift_invariant(positional, PIXELS[:, :1, :1], shifts="full")


def test_jax_images_in_half_precision_are_accepted():
    assert_shift_invariant(lambda x: x.mean(axis=1).max(axis=1).repeat(2, -1), jnp.asarray(PIXELS / 255, jnp.bfloat16))
