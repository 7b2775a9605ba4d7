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


def test_bitwise_equality_can_be_required():
    assert_shift_equivariant(jnp.tanh, PIXELS, atol=0, rtol=0)


def brute_force_equivariance(layer):
    """Return the error at every shift [n ...], and the unshifted output."""
    unshifted, errors = np.asarray(layer(jnp.asarray(IMAGES))), {}
    for d in every_shift(8):
        moved = np.asarray(layer(jnp.asarray(np.roll(IMAGES, d, (1, 2)))))
        errors[d] = np.abs(moved - (np.roll(unshifted, d, (1, 2)) if unshifted.ndim == 4 else unshifted))
    return errors, unshifted


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
def test_the_message_states_the_largest_error(layer, batch_size):
    errors, unshifted = brute_force_equivariance(layer)
    message = failure(assert_shift_equivariant, layer, IMAGES, batch_size=batch_size)
    place = r"row (\d+), column (\d+), channel (\d+)" if unshifted.ndim == 4 else r"component (\d+)"
    found = re.search(rf"image (\d+) at shift \(dy=(-?\d+), dx=(-?\d+)\), output {place}\.", message)
    n, dy, dx, *position = map(int, found.groups())
    largest, scale = max(error.max() for error in errors.values()), np.abs(unshifted[n]).max()
    # Another position may have the same error up to rounding.
    assert errors[dy, dx][(n, *position)] == pytest.approx(largest, rel=1e-5)
    sizes = re.search(r"is (\S+) \((\S+) of the largest unshifted output\), allowed (\S+), for", message).groups()
    assert [float(size) for size in sizes] == pytest.approx([largest, largest / scale, 1e-8 + 1e-5 * scale], rel=5e-3)
    violating = sum(error.max() > 1e-4 for error in errors.values())
    assert f"{violating} of 63 shifts and 5 of 5 images exceed the tolerance." in message


def test_zero_padding_errs_at_the_border():
    message = failure(assert_shift_equivariant, convolution("zero"), IMAGES)
    assert message.startswith("layer is not shift equivariant [circular, stride 1]: the largest error is ")
    assert message.endswith(
        " The smallest of these shifts, (dy=1, dx=0), affects only rows {0, 1, 7} of 8: the border (padding)."
    )
    across = failure(assert_shift_equivariant, convolution("zero"), IMAGES, shifts=[(0, -1)])
    assert across.endswith(
        " The smallest of these shifts, (dy=0, dx=-1), affects only columns {0, 6, 7} of 8: the border (padding)."
    )
    both = failure(assert_shift_equivariant, convolution("zero"), IMAGES, shifts=[(1, 1)])
    assert "only rows {0, 1, 7} of 8 and columns {0, 1, 7} of 8: the border (padding)" in both


def test_the_border_of_a_strided_layer_is_given_in_output_positions():
    message = failure(assert_shift_equivariant, lambda x: pool(convolution("zero")(x)), IMAGES, stride=2)
    assert "[circular, stride 2]" in message
    # 4×4 maps: the seams are before rows 0 and 1.
    assert "The smallest of these shifts, (dy=2, dx=0), affects only rows {0, 1, 3} of 4: the border" in message


def test_aliasing_errs_everywhere():
    message = failure(assert_shift_equivariant, lambda x: up(pool(x)), IMAGES)
    assert (
        " The smallest of these shifts, (dy=1, dx=0), affects 64 of 64 positions, not only the border: aliasing"
        in message
    )
    assert "48 of 63 shifts and 5 of 5 images exceed the tolerance" in message  # all shifts that are not even


def test_the_message_names_the_only_failing_image():
    flat = np.ones_like(IMAGES)
    flat[3, 2, 5, 1] = 2
    message = failure(assert_shift_equivariant, flatten, flat, shifts=[(0, 0), (0, 8), (0, 2)])
    # (0, 8) is no shift on 8 pixels. The bright pixel is component 43 = (2·8 + 5)·2 + 1.
    assert "not shift invariant" in message
    assert "is 1 (0.5 of the largest unshifted output), allowed 2e-05, for image 3 at shift (dy=0, dx=2)" in message
    assert ", output component 43." in message
    assert message.endswith("1 of 1 shifts and 1 of 5 images exceed the tolerance.")


def test_the_tolerance_is_absolute_plus_relative():
    flat = np.ones((1, 2, 2, 1), np.float32)
    flat[0, 0, 0, 0] = 4
    assert_shift_equivariant(flatten, flat, atol=1, rtol=0.5)  # 3 ≤ 1 + 0.5 · 4
    assert "is 3 (0.75 of the largest unshifted output), allowed 2.9," in failure(
        assert_shift_equivariant, flatten, flat, atol=0.9, rtol=0.5
    )


def test_an_unshifted_output_of_zero_has_no_relative_error():
    corner = np.zeros((1, 4, 4, 1), np.float32)
    corner[0, 0, 0, 0] = 1
    message = failure(assert_shift_equivariant, lambda x: x[:, 2, 2], corner)
    assert (
        "the largest error is 1 (the unshifted output is 0), allowed 1e-08, for image 0 at shift (dy=2, dx=2)"
        in message
    )
    assert ", output component 0." in message


def test_one_compilation_serves_all_shifts_and_batches():
    traces = []

    def layer(x):
        traces.append(x.shape)
        return 2 * x

    assert_shift_equivariant(layer, IMAGES, batch_size=2)
    assert traces.count((2, 8, 8, 2)) == 1
    assert len(traces) == 2  # the other infers the output shape


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_values_that_are_not_finite_are_a_measurement_error(value):
    with pytest.raises(MeasurementError, match=r"not finite for image 2 at shift \(dy=0, dx=0\)"):
        assert_shift_equivariant(lambda x: x.at[2, 0, 0, 0].set(value), IMAGES)
    one = np.ones((3, 4, 4, 1), np.float32)
    one[1, 0, 0, 0] = 0
    # Not finite only at the shift that moves the zero to (1, 0).
    undefined = lambda x: jnp.where(x[:, 1, 0] == 0, value, 1.0)  # noqa: E731
    with pytest.raises(MeasurementError, match=r"not finite for image 1 at shift \(dy=1, dx=0\)"):
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
        (pool, {"stride": 2, "shifts": [(2, 0), (2, 1)]}, r"shifts contain \(dy=2, dx=1\); allowed: multiples"),
        (jnp.tanh, {"shifts": [(0, 0), (8, -8)]}, "shifts do not move 8×8 images"),
        (jnp.tanh, {"shifts": np.ones((2, 3), int)}, "allowed: a list of"),
        (jnp.tanh, {"shifts": np.ones((2, 2))}, "allowed: a list of"),
        (jnp.tanh, {"atol": -1.0}, "atol is -1.0; allowed: finite numbers from 0"),
        (jnp.tanh, {"rtol": float("nan")}, "rtol is nan; allowed"),
        (jnp.tanh, {"batch_size": 0}, "batch_size is 0; allowed: whole numbers from 1"),
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
