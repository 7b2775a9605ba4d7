"""What a sweep measures: a pure function of weights and images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

Apply = Callable[[Any, Float[Array, "n h w c"]], tuple[Float[Array, "n k"], Float[Array, "n e"] | None]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model as a function.

    Attributes:
        apply: (state, images on the scale 0..1) → (logits, penultimate features or None).
        state: its weights, a pytree of arrays.
    """

    apply: Apply
    state: Any

    @property
    def parameters(self) -> int:
        """Number of trained values; 0 for a model that hides them. Running statistics do not count."""
        leaves = jax.tree.leaves(self.state, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
        return sum(leaf[...].size for leaf in leaves if isinstance(leaf, nnx.Param))

    @property
    def digest(self) -> str:
        """SHA-256 over all weights and their names."""
        digest = hashlib.sha256()
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.state):
            key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            array = np.asarray(jax.random.key_data(leaf) if key else leaf)
            digest.update(repr((jax.tree_util.keystr(path), array.dtype.str, array.shape)).encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


def subject_of(model: Callable[[Array], Array]) -> Subject:
    """A subject from a model.

    Args:
        model: an NNX module (its weights become the state; penultimate features are seen if it has the zoo's
            `features`, `embed` and `classify`; it is left in evaluation mode), or any traceable function
            images → logits.
    """
    if not isinstance(model, nnx.Module):
        return Subject(lambda state, images: (model(images), None), {})
    model.eval()
    graph, state = nnx.split(model)
    opens = all(hasattr(model, name) for name in ("features", "embed", "classify"))

    def apply(state: Any, images: Array) -> tuple[Array, Array | None]:
        module: Any = nnx.merge(graph, state)
        if not opens:
            return module(images), None
        embedding = module.embed(module.features(images))
        return module.classify(embedding), embedding

    return Subject(apply, state)
