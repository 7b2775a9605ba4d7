"""Arguments that both assertions share, and their docstring examples."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnshift
from cnnshift import assert_shift_equivariant, assert_shift_invariant
from cnnshift.errors import InputError
from cnnshift.testing import borders, equivariance, invariance
from cnnshift.testing.arguments import nearest_first
from tests.asserting import IMAGES, PIXELS, every_shift, flatten, pool


@pytest.mark.parametrize("assertion", [assert_shift_equivariant, assert_shift_invariant])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"images have the shape \(8, 8, 2\); allowed: \(n, height, width, channels\)"),
        (IMAGES[:0], r"images have the shape \(0, 8, 8, 2\)"),
        (PIXELS.astype(np.int32), "images have dtype int32; allowed: uint8 or floating point"),
        (np.full((1, 4, 4, 1), np.nan), "images contain values that are not finite"),
    ],
)
def test_bad_images(assertion, images, message):
    with pytest.raises(InputError, match=message):
        assertion(flatten, images)


def test_shifts_are_ordered_by_size():
    shifts = np.array([(dy, dx) for dy in range(-3, 5) for dx in range(-3, 5) if (dy, dx) != (0, 0)])
    assert [tuple(d) for d in shifts[nearest_first(shifts)].tolist()] == every_shift(8)


@pytest.mark.parametrize("shift", [(1, 0), (-2, 0), (0, 3), (3, -2)])
def test_a_border_of_any_width_is_recognized(shift):
    size, width = 24, 2
    border = np.zeros((size, size), bool)
    border[:width] = border[-width:] = border[:, :width] = border[:, -width:] = True
    seams = border ^ np.roll(border, shift, (0, 1))
    assert "the border (padding)" in borders.describe_extent(seams, np.array(shift))
    seams[size // 2, size // 2] = True
    assert "not only the border" in borders.describe_extent(seams, np.array(shift))


def test_small_maps_are_not_classified():
    assert "too small" in borders.describe_extent(np.ones((2, 2), bool), np.array([1, 0]))


@pytest.mark.parametrize("module", [borders, equivariance, invariance])
def test_examples(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


def test_public_names():
    assert {"assert_shift_invariant", "assert_shift_equivariant"} <= set(dir(cnnshift))
    assert jax.eval_shape(pool, jnp.zeros((1, 8, 8, 1))).shape == (1, 4, 4, 1)
