"""Functions that build and run pooling layers and networks in tests."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.models.base import build, parse_options
from cnnshift.spec import ModelSpec

rng = np.random.default_rng(0)


def draw(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def pool(name, padding="circular", channels=3, stride=2, maximum=True, **options):
    layer = DOWNSAMPLERS.load(name)
    parsed = parse_options(layer.options_type, name, options)
    return layer(channels, padding=padding, options=parsed, rngs=nnx.Rngs(0), stride=stride, maximum=maximum)


def run(layer, x):
    """Return the output of a compiled layer."""
    return np.asarray(nnx.jit(lambda layer, x: layer(x))(layer, jnp.asarray(x)))


def network(text, shape, classes=3):
    model = build(ModelSpec.parse(text), shape, classes, seed=0)
    model.eval()
    return model


def distance(one, other):
    """Return the largest difference relative to the largest value."""
    return float(np.abs(np.asarray(one) - np.asarray(other)).max() / np.abs(np.asarray(other)).max())
