"""Layers and images for the tests of the assertions."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.models.base import Options
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.max_pool import MaxPool

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
    """A linear classifier of the flattened image."""
    return flatten(images) @ WEIGHTS


def failure(assertion, *args, **options):
    with pytest.raises(AssertionError) as caught:
        assertion(*args, **options)
    return str(caught.value)


def every_shift(size, step=1):
    """Return all circular shifts except (0, 0) as representatives nearest to 0, in the order of `nearest_first`."""
    near = lambda i: i - size if i > size // 2 else i  # noqa: E731
    shifts = [(near(y), near(x)) for y in range(0, size, step) for x in range(0, size, step) if (y, x) != (0, 0)]
    return sorted(shifts, key=lambda d: (max(map(abs, d)), sum(map(abs, d)), -d[0], -d[1]))
