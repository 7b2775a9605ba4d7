"""`assert_shift_equivariant` against brute force in numpy."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from cnnshift import assert_shift_equivariant
from cnnshift.errors import InputError, MeasurementError
from tests.asserting import IMAGES, PIXELS, convolution, every_shift, failure, flatten, pool, up


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
