"""The same options and seed give the same network: if this fails on purpose, bump the family's `version`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.models.base import build, parse_model
from cnnshift.registry import MODELS
from cnnshift.spec import parse_spec

# Version, number of parameters, mean size of the initial weights and of the logits of one image.
GOLDEN = {
    "mlp": (1, 49795, 0.082863, 0.640579),
    "cnn": (1, 6275, 0.109930, 1.619815),
    "locally_connected": (1, 169859, 0.144254, 3.984984),
}


@pytest.mark.parametrize("name", MODELS)
def test_initial_weights_and_outputs(name):
    spec = parse_spec(name, "model")
    model = build(spec, (16, 16, 1), 3, seed=0)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]
    image = jnp.asarray(np.random.RandomState(0).random_sample((1, 16, 16, 1)), jnp.float32)
    size = sum(leaf.size for leaf in leaves)
    weights = sum(float(np.abs(leaf).sum()) for leaf in leaves) / size
    logits = float(jnp.abs(model(image)).mean())
    family, _ = parse_model(spec)
    version, count, *numbers = GOLDEN[name]
    assert (family.version, size) == (version, count)
    assert [weights, logits] == pytest.approx(numbers, rel=1e-4)
