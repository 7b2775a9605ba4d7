"""The assertions for test suites, against brute force in numpy."""

import doctest
import re
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import cnnshift
from cnnshift import assert_shift_equivariant, assert_shift_invariant
from cnnshift.errors import InputError, MeasurementError
from cnnshift.models.base import Options, build
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.max_pool import MaxPool
from cnnshift.spec import parse_spec
from cnnshift.testing import borders, equivariance, invariance
from cnnshift.testing.arguments import nearest_first

rng = np.random.default_rng(0)
IMAGES = rng.standard_normal((5, 8, 8, 2)).astype(np.float32)
PIXELS = rng.integers(0, 256, (5, 8, 8, 1), np.uint8)
WEIGHTS = rng.standard_normal((64, 3)).astype(np.float32)


def convolution(padding, stride=1):
    return Convolution((8, 8, 2), 3, 3, padding=padding, stride=stride, rngs=nnx.Rngs(0))


def pool(x):
    return MaxPool(x.shape[-1], padding="circular", options=Options(), rngs=nnx.Rngs(0))(x)


def up(x):
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def flatten(x):
    return x.reshape(len(x), -1)


def positional(images):
    """A classifier that looks at one place at a time."""
    return flatten(images) @ WEIGHTS


def failure(assertion, *args, **options):
    with pytest.raises(AssertionError) as caught:
        assertion(*args, **options)
    return str(caught.value)


def every_shift(size, step=1):
    """All circular shifts but none, as representatives nearest to 0, by |d|∞, |d|₁, down first, right first."""
    near = lambda i: i - size if i > size // 2 else i  # noqa: E731
    shifts = [(near(y), near(x)) for y in range(0, size, step) for x in range(0, size, step) if (y, x) != (0, 0)]
    return sorted(shifts, key=lambda d: (max(map(abs, d)), sum(map(abs, d)), -d[0], -d[1]))


# --- equivariance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "stride"),
    [
        (convolution("circular"), 1),
        (convolution("circular", 2), 2),
        (pool, 2),
        (lambda x: pool(pool(x)), 4),
        (lambda x: pool(x).mean(axis=(1, 2)), (2, 2)),
        (lambda x: convolution("circular")(x).max(axis=(1, 2)), 1),
        (lambda x: x[:, ::4, ::2], (4, 2)),
    ],
)
def test_equivariant_layers_pass(layer, stride):
    assert_shift_equivariant(layer, IMAGES, stride=stride)


def test_bitwise_equality_can_be_asked_for_of_bytes():
    assert_shift_equivariant(jnp.tanh, PIXELS, atol=0, rtol=0)


def brute_force_equivariance(layer):
    """The error at every shift [n ...], and the output at rest."""
    rest, errors = np.asarray(layer(jnp.asarray(IMAGES))), {}
    for d in every_shift(8):
        moved = np.asarray(layer(jnp.asarray(np.roll(IMAGES, d, (1, 2)))))
        errors[d] = np.abs(moved - (np.roll(rest, d, (1, 2)) if rest.ndim == 4 else rest))
    return errors, rest


@pytest.mark.parametrize(
    ("layer", "batch_size"),
    [
        (convolution("zero"), None),
        (convolution("zero"), 2),
        (lambda x: up(pool(x)), None),
        (lambda x: pool(x).mean(axis=(1, 2)), 3),
        (flatten, None),
    ],
)
def test_the_message_names_the_largest_violation(layer, batch_size):
    errors, rest = brute_force_equivariance(layer)
    message = failure(assert_shift_equivariant, layer, IMAGES, batch_size=batch_size)
    place = r"row (\d+), column (\d+), channel (\d+)" if rest.ndim == 4 else r"component (\d+)"
    found = re.search(rf"image (\d+) at shift \(dy=(-?\d+), dx=(-?\d+)\), output {place}: off by", message)
    n, dy, dx, *position = map(int, found.groups())
    largest, scale = max(error.max() for error in errors.values()), np.abs(rest[n]).max()
    # Not the brute force's own maximum but one as large: equals differ by their rounding.
    assert errors[dy, dx][(n, *position)] == pytest.approx(largest, rel=1e-5)
    sizes = re.search(r"off by (\S+) \((\S+) of its largest output\), allowed (\S+);", message).groups()
    assert [float(size) for size in sizes] == pytest.approx([largest, largest / scale, 1e-8 + 1e-5 * scale], rel=5e-3)
    violating = sum(error.max() > 1e-4 for error in errors.values())
    assert f"{violating} of 63 shifts violate it, in 5 of 5 images" in message


def test_zero_padding_is_found_at_the_border():
    message = failure(assert_shift_equivariant, convolution("zero"), IMAGES)
    assert message.startswith("not shift equivariant [circular, stride 1]: worst image ")
    assert message.endswith(
        "; at (dy=1, dx=0), the smallest of them, it touches only rows {0, 1, 7} of 8: the border (padding)"
    )
    across = failure(assert_shift_equivariant, convolution("zero"), IMAGES, shifts=[(0, -1)])
    assert across.endswith("at (dy=0, dx=-1), the smallest of them, it touches only columns {0, 6, 7} of 8: "
                           "the border (padding)")  # fmt: skip
    both = failure(assert_shift_equivariant, convolution("zero"), IMAGES, shifts=[(1, 1)])
    assert "only rows {0, 1, 7} of 8 and columns {0, 1, 7} of 8: the border (padding)" in both


def test_the_border_of_a_strided_layer_is_told_in_output_pixels():
    message = failure(assert_shift_equivariant, lambda x: pool(convolution("zero")(x)), IMAGES, stride=2)
    assert "[circular, stride 2]" in message
    # 4×4 maps: the seams are before rows 0 and 1.
    assert "at (dy=2, dx=0), the smallest of them, it touches only rows {0, 1, 3} of 4: the border" in message


def test_aliasing_is_found_everywhere():
    message = failure(assert_shift_equivariant, lambda x: up(pool(x)), IMAGES)
    assert (
        "; at (dy=1, dx=0), the smallest of them, it touches 64 of 64 positions, not only the border: aliasing"
        in message
    )
    assert "48 of 63 shifts violate it" in message  # those that are not even


def test_one_image_among_many_is_named():
    flat = np.ones_like(IMAGES)
    flat[3, 2, 5, 1] = 2
    message = failure(assert_shift_equivariant, flatten, flat, shifts=[(0, 0), (0, 8), (0, 2)])
    # (0, 8) moves nothing on 8 pixels. Component 43 = (2·8 + 5)·2 + 1 has lost the pixel.
    assert "not shift invariant" in message
    assert "worst image 3 at shift (dy=0, dx=2), output component 43: off by 1 (0.5 of its largest output)" in message
    assert message.endswith("1 of 1 shifts violate it, in 1 of 5 images")


def test_the_tolerance_is_absolute_plus_relative():
    flat = np.ones((1, 2, 2, 1), np.float32)
    flat[0, 0, 0, 0] = 4
    assert_shift_equivariant(flatten, flat, atol=1, rtol=0.5)  # 3 ≤ 1 + 0.5 · 4
    assert "off by 3 (0.75 of its largest output), allowed 2.9;" in failure(
        assert_shift_equivariant, flatten, flat, atol=0.9, rtol=0.5
    )


def test_an_output_of_zero_has_no_relative_error():
    corner = np.zeros((1, 4, 4, 1), np.float32)
    corner[0, 0, 0, 0] = 1
    message = failure(assert_shift_equivariant, lambda x: x[:, 2, 2], corner)
    assert "at shift (dy=2, dx=2), output component 0: off by 1 (its output at rest is 0), allowed 1e-08" in message


def test_one_compilation_serves_all_shifts_and_batches():
    traces = []

    def layer(x):
        traces.append(x.shape)
        return 2 * x

    assert_shift_equivariant(layer, IMAGES, batch_size=2)
    assert traces.count((2, 8, 8, 2)) == 1
    assert len(traces) == 2  # the other finds out the output's shape


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_values_that_are_not_finite_are_no_violation(value):
    with pytest.raises(MeasurementError, match=r"not finite numbers: image 2 at shift \(dy=0, dx=0\)"):
        assert_shift_equivariant(lambda x: x.at[2, 0, 0, 0].set(value), IMAGES)
    one = np.ones((3, 4, 4, 1), np.float32)
    one[1, 0, 0, 0] = 0
    # Undefined only where the zero comes to lie on (1, 0).
    undefined = lambda x: jnp.where(x[:, 1, 0] == 0, value, 1.0)  # noqa: E731
    with pytest.raises(MeasurementError, match=r"image 1 at shift \(dy=1, dx=0\)"):
        assert_shift_equivariant(undefined, one)


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (pool, {}, r"maps of 4×4 for images of 8×8, and stride is \(1, 1\); allowed: maps of 8×8, or stride=\(2, 2\)"),
        (convolution("circular"), {"stride": 2}, r"maps of 8×8 .* stride is \(2, 2\); allowed: maps of 4×4"),
        (convolution("valid"), {}, r"maps of 6×6 .* allowed: maps of 8×8\."),
        (jnp.tanh, {"stride": 3}, "stride is 3, which does not divide the 8×8 images; allowed: divisors"),
        (jnp.tanh, {"stride": 0}, "stride is 0; allowed: a whole number of pixels from 1"),
        (jnp.tanh, {"stride": (1, -1)}, r"stride is \(1, -1\); allowed"),
        (pool, {"stride": 2, "shifts": [(2, 0), (2, 1)]}, r"shifts hold \(dy=2, dx=1\); allowed: multiples"),
        (jnp.tanh, {"shifts": [(0, 0), (8, -8)]}, "shifts leave 8×8 images where they are"),
        (jnp.tanh, {"shifts": np.ones((2, 3), int)}, "allowed: a list of"),
        (jnp.tanh, {"shifts": np.ones((2, 2))}, "allowed: a list of"),
        (jnp.tanh, {"atol": -1.0}, "atol is -1.0; allowed: finite numbers from 0"),
        (jnp.tanh, {"rtol": float("nan")}, "rtol is nan; allowed"),
        (jnp.tanh, {"batch_size": 0}, "batch_size is 0; allowed: whole numbers of images from 1"),
        (lambda x: (x, x), {}, "layer returns a tuple; allowed: one array"),
        (lambda x: x.sum(), {}, r"layer returns an array of shape \(\) for 5 images; allowed: one row per image"),
        (lambda x: x[:3], {}, r"layer returns an array of shape \(3, 8, 8, 2\) for 5 images"),
        (lambda x: x[..., 0], {}, r"layer returns an array of shape \(5, 8, 8\); allowed: maps"),
        (lambda x: jnp.asarray(np.asarray(x)), {}, "layer cannot be traced by JAX: .* Allowed: an NNX module"),
        (lambda x: x if x.max() > 0 else -x, {}, "layer cannot be traced by JAX"),
    ],
)
def test_bad_arguments_of_equivariance(layer, options, message):
    with pytest.raises(InputError, match=message):
        assert_shift_equivariant(layer, IMAGES, **options)


@pytest.mark.parametrize("assertion", [assert_shift_equivariant, assert_shift_invariant])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"images have the shape \(8, 8, 2\); allowed: \(n, height, width, channels\)"),
        (IMAGES[:0], r"images have the shape \(0, 8, 8, 2\)"),
        (PIXELS.astype(np.int32), "images are int32; allowed: uint8, or floats"),
        (np.full((1, 4, 4, 1), np.nan), "not finite; allowed: finite numbers"),
    ],
)
def test_bad_images(assertion, images, message):
    with pytest.raises(InputError, match=message):
        assertion(flatten, images)


# --- invariance -----------------------------------------------------------------------------------------------------


def test_polyphase_sampling_and_a_global_average_are_invariant():
    net = build(parse_spec("cnn:padding=circular,head=gap,pool=aps,depth=1,width=2", "model"), (8, 8, 1), 10, seed=0)
    assert_shift_invariant(net, PIXELS, shifts="full")


def brute_force_invariance(shifts):
    """Classes [n, 1 + s] and probabilities of the class at rest [n, 1 + s], by numpy."""
    classes, probabilities = [], []
    for d in [(0, 0), *shifts]:
        logits = np.roll(PIXELS / np.float32(255), d, (1, 2)).reshape(len(PIXELS), -1) @ WEIGHTS
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        classes.append(logits.argmax(axis=1))
        probabilities.append((powers / powers.sum(axis=1, keepdims=True))[np.arange(len(PIXELS)), classes[0]])
    return np.array(classes).T, np.array(probabilities).T


def test_the_message_names_the_worst_image_and_its_smallest_shift():
    shifts = [d for d in every_shift(8) if max(map(abs, d)) <= 3]
    classes, probabilities = brute_force_invariance(shifts)
    changes = classes[:, 1:] != classes[:, :1]
    often = changes.sum(axis=1)
    n = int(often.argmax())
    i = 1 + int(changes[n].argmax())
    before, after, (dy, dx) = classes[n, 0], classes[n, i], shifts[i - 1]
    expected = np.floor(1e4 * (1 - often.sum() / changes.size)) / 1e4
    assert failure(assert_shift_invariant, positional, PIXELS, max_shift=3, min_consistency=0.99, batch_size=2) == (
        f"not shift invariant [circular, |d|≤3]: consistency {expected:.4f} over 5 images × 48 shifts, "
        f"required 0.99; {often.sum()} of 240 predictions change, in {(often > 0).sum()} images; "
        f"worst image {n} ({often[n]} of 48 shifts), its smallest shift (dy={dy}, dx={dx}): "
        f"class {before} → {after}, P({before}) {probabilities[n, 0]:.4f} → {probabilities[n, i]:.4f}"
    )


def test_exactly_what_is_required_is_enough():
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
    # A bright pixel on black, seen in its place or not: what enters decides.
    dot = np.zeros((2, 8, 8, 1), np.float32)
    dot[1] = 1
    dark = lambda x: jnp.stack([x.mean(axis=(1, 2, 3)), jnp.full(len(x), 0.9)], axis=1)  # noqa: E731
    assert_shift_invariant(dark, dot, protocol="zero", max_shift=2, background=(1.0,), shifts="axis")
    message = failure(assert_shift_invariant, dark, dot, protocol="zero", max_shift=2, shifts="axis")
    assert "8 of 16 predictions change, in 1 images; worst image 1 (8 of 8 shifts)" in message
    assert "its smallest shift (dy=1, dx=0): class 0 → 1" in message


def test_fractions_of_a_pixel():
    # The mean of all pixels is the frequency 0, which no shift changes; whether any is large is another matter.
    mean = lambda x: jnp.stack([x.mean(axis=(1, 2, 3)), jnp.full(len(x), 0.3)], axis=1)  # noqa: E731
    peak = lambda x: jnp.stack([x.max(axis=(1, 2, 3)), jnp.full(len(x), 0.7)], axis=1)  # noqa: E731
    line = np.zeros((1, 8, 8, 1), np.float32)
    line[:, 3] = 1
    for protocol in ("fourier", "bilinear"):
        assert_shift_invariant(mean, line, protocol=protocol, max_shift=1)
        assert_shift_invariant(peak, line, protocol=protocol, max_shift=1, step=1)
    message = failure(assert_shift_invariant, peak, line, protocol="bilinear", max_shift=1)
    assert "[bilinear, |d|≤1]: consistency 0.4166 over 1 images × 48 shifts" in message
    assert "its smallest shift (dy=1/3, dx=0): class 0 → 1" in message
    message = failure(assert_shift_invariant, peak, line, protocol="fourier", max_shift=0.5, step=1 / 4)
    # Half a pixel leaves 64 % of a line, a quarter 90 %.
    assert "[fourier, |d|≤1/2]" in message
    assert "its smallest shift (dy=1/2, dx=0)" in message


def test_crop_takes_the_pixels_that_are_there():
    inner = PIXELS.copy()
    assert_shift_invariant(lambda x: x.mean(axis=1).repeat(2, -1)[:, 0], inner, protocol="crop", context=2, max_shift=2)
    with pytest.raises(InputError, match="'crop' needs source images larger than the window"):
        assert_shift_invariant(positional, PIXELS, protocol="crop")


def test_a_function_of_numpy_goes_through_a_callback():
    def host(images):
        return np.asarray(images).reshape(len(images), -1) @ WEIGHTS

    def model(images):
        return jax.pure_callback(host, jax.ShapeDtypeStruct((len(images), 3), np.float32), images)

    told = [
        failure(assert_shift_invariant, f, PIXELS, max_shift=1).partition("; worst")[0] for f in (positional, model)
    ]
    assert told[0] == told[1]


def test_logits_that_are_not_finite_are_no_violation():
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
        (positional, {"step": 0.5}, "step is 1/2, a fraction of a pixel, by which only the protocols fourier and"),
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


def test_images_of_invariance_are_on_the_scale_from_0_to_1():
    with pytest.raises(InputError, match=r"outside 0\.\.1; allowed: uint8, or floats from 0 to 1"):
        assert_shift_invariant(positional, IMAGES)
    with pytest.raises(InputError, match="1×1 pixels, which no shift changes"):
        assert_shift_invariant(positional, PIXELS[:, :1, :1], shifts="full")


def test_images_of_jax_in_half_precision_will_do():
    assert_shift_invariant(lambda x: x.mean(axis=1).max(axis=1).repeat(2, -1), jnp.asarray(PIXELS / 255, jnp.bfloat16))


# --- parts and page -------------------------------------------------------------------------------------------------


def test_shifts_are_ordered_by_size():
    shifts = np.array([(dy, dx) for dy in range(-3, 5) for dx in range(-3, 5) if (dy, dx) != (0, 0)])
    assert [tuple(d) for d in shifts[nearest_first(shifts)].tolist()] == every_shift(8)


@pytest.mark.parametrize("shift", [(1, 0), (-2, 0), (0, 3), (3, -2)])
def test_a_border_of_any_width_is_recognised(shift):
    size, width = 24, 2
    border = np.zeros((size, size), bool)
    border[:width] = border[-width:] = border[:, :width] = border[:, -width:] = True
    seams = border ^ np.roll(border, shift, (0, 1))
    assert "the border (padding)" in borders.describe_extent(seams, np.array(shift))
    seams[size // 2, size // 2] = True
    assert "not only the border" in borders.describe_extent(seams, np.array(shift))


def test_small_maps_tell_nothing():
    assert "too small" in borders.describe_extent(np.ones((2, 2), bool), np.array([1, 0]))


@pytest.mark.parametrize("module", [borders, equivariance, invariance])
def test_examples(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


def test_the_page_has_a_test_file_that_works(monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    module = types.ModuleType("test_page")
    monkeypatch.setitem(sys.modules, "test_page", module)
    exec(compile(source, "test_page.py", "exec"), module.__dict__)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 6
    for test in tests:
        test()


def test_public_names():
    assert {"assert_shift_invariant", "assert_shift_equivariant"} <= set(dir(cnnshift))
    assert jax.eval_shape(pool, jnp.zeros((1, 8, 8, 1))).shape == (1, 4, 4, 1)
