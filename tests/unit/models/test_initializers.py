"""Initial weights equal those of `jax.nn.initializers` for every shape."""

import jax
import numpy as np
import pytest

from cnnshift.models.layers.initializers import he_normal, lecun_normal


@pytest.mark.parametrize("shape", [(1, 1), (3, 3, 1, 32), (784, 129), (3, 3, 64, 129)])
def test_weights_equal_those_of_jax(shape):
    key = jax.random.key(3)
    for ours, theirs in (
        (he_normal(), jax.nn.initializers.he_normal()),
        (lecun_normal(), jax.nn.initializers.lecun_normal()),
    ):
        np.testing.assert_allclose(ours(key, shape), theirs(key, shape), rtol=1e-6)


@pytest.mark.parametrize(("axes", "shape"), [((2,), (3, 3, 8, 1)), ((0, 1), (4, 5, 18, 6))])
def test_batch_axes_do_not_count_in_the_fan_in(axes, shape):
    key = jax.random.key(3)
    expected = jax.nn.initializers.he_normal(batch_axis=axes)(key, shape)
    np.testing.assert_allclose(he_normal(axes)(key, shape), expected, rtol=1e-6)


def test_the_variance_is_two_over_the_fan_in():
    weights = he_normal()(jax.random.key(0), (500, 400))
    assert float(weights.var()) == pytest.approx(2 / 500, rel=0.02)
    assert float(abs(weights).max()) <= 2 * (2 / 500) ** 0.5 / 0.8796 * 1.0001
