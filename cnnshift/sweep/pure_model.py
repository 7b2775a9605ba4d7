"""A model as a pure function of weights and images: what a sweep evaluates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cnnshift import cores
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.base import first_line
from cnnshift.loaders.host_callback import HostCallback
from cnnshift.models.arrays import arrays_digest
from cnnshift.models.base import Classifier, ReadoutKind
from cnnshift.models.stage import Stage
from cnnshift.preprocess import with_preprocessing
from cnnshift.unavailable import Unavailable

Apply = Callable[[Any, Float[Array, "n h w c"]], tuple[Float[Array, "n k"], Float[Array, "n e"] | None]]


@dataclass(frozen=True, slots=True)
class SplitModel:
    """A model split into features and head.

    Attributes:
        features: (state, images) → feature map.
        head: (state, feature map) → (logits, penultimate features).
        stages: (state, size) → stages of the features, see `Classifier.circular_stages`.
        total_stride: total stride of the features, see `Classifier.total_stride`; None if the structure is unknown.
        readout: how the logits depend on the positions of the features.
        linear: state → (weights [e k], bias [k]) of a head that is linear in the flattened map; None for other heads.
    """

    features: Callable[[Any, Float[Array, "n h w c"]], Float[Array, "n H W C"]]
    head: Callable[[Any, Float[Array, "n H W C"]], tuple[Float[Array, "n k"], Float[Array, "n e"]]]
    stages: Callable[[Any, tuple[int, int]], Sequence[Stage] | None]
    total_stride: int | Unavailable | None
    readout: ReadoutKind
    linear: Callable[[Any], tuple[Float[Array, "e k"], Float[Array, " k"]]] | None


@dataclass(frozen=True, slots=True)
class HostRuntime:
    """How to call a model that runs outside of the compiled program.

    Attributes:
        with_max_batch: number of images n → `PureModel.apply` with at most n images per call of the runtime.
        concurrent: whether several threads may call it at a time, each on its own core.
        fixed_batch: the only number of images per call, to which the runtime fills smaller batches up; None for any.
    """

    with_max_batch: Callable[[int], Apply]
    concurrent: bool
    fixed_batch: int | None


@dataclass(frozen=True, slots=True)
class PureModel:
    """A model as a pure function.

    Attributes:
        apply: (state, images on the scale 0..1) → (logits, penultimate features or None).
        state: weights, a pytree of arrays.
        split_model: the same function in two parts, or None.
        host_runtime: how to call the model if it runs outside of the compiled program, or None.
        known_digest: SHA-256 of all that defines the model, if the state does not.
        known_parameters: number of trained values, if the state does not show it.
    """

    apply: Apply
    state: Any
    split_model: SplitModel | None = None
    host_runtime: HostRuntime | None = None
    known_digest: str | None = None
    known_parameters: int | None = None

    @property
    def num_workers(self) -> int:
        """Number of concurrent calls: on a CPU one per core, because one call uses little more than one core."""
        sequential = self.host_runtime is not None and not self.host_runtime.concurrent
        return 1 if sequential or jax.default_backend() != "cpu" else cores.num_workers()

    @property
    def parameters(self) -> int | None:
        """Number of trained values without running statistics; None for a model without visible weights."""
        if self.known_parameters is not None:
            return self.known_parameters
        leaves = jax.tree.leaves(self.state, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
        return None if not leaves else sum(leaf[...].size for leaf in leaves if isinstance(leaf, nnx.Param))

    @property
    def digest(self) -> str:
        """SHA-256 over names, types, shapes and values of all weights, or `known_digest`."""
        if self.known_digest is not None:
            return self.known_digest
        leaves = jax.tree_util.tree_leaves_with_path(self.state)
        return arrays_digest((jax.tree_util.keystr(path), _numbers(leaf)) for path, leaf in leaves)

    def total_stride(self, split: Split) -> int | Unavailable:
        """Return the total stride S of the features on these images.

        For a model of unknown structure, S is the ratio of the size of the images to that of the feature map.
        """
        if self.split_model is None:
            return Unavailable("the model does not expose its features")
        if self.split_model.total_stride is not None:
            return self.split_model.total_stride
        images = jax.ShapeDtypeStruct((1, *split.size, split.channels), "float32")
        shape = jax.eval_shape(self.split_model.features, self.state, images).shape[1:]
        return (
            Unavailable("the features have a single position") if shape[:2] == (1, 1) else map_stride(shape, split.size)
        )


def map_stride(shape: tuple[int, ...], size: tuple[int, int]) -> int | Unavailable:
    """Return the ratio of the size (H, W) of an image to that of a feature map of shape (h, w, c)."""
    if len(shape) != 3 or size[0] % shape[0] or size[1] % shape[1]:
        return Unavailable(f"the features have shape {shape}, which does not divide {size[0]}×{size[1]} pixels")
    if size[0] // shape[0] != size[1] // shape[1]:
        return Unavailable("its stride differs between the two axes")
    return size[0] // shape[0]


def _numbers(leaf: Any) -> np.ndarray:
    is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def as_pure_model(model: LoadedModel | Callable[[Any], Any]) -> PureModel:
    """Return a model as a pure function.

    Args:
        model: a loaded model; or an NNX module, whose weights become the state (a copy in evaluation mode; split if it
            has the methods `features`, `embed` and `classify`); or a traceable function images → logits.

    Raises:
        InputError: The model is not callable.
    """
    if isinstance(model, LoadedModel):
        pure = as_pure_model(model.classifier)
        if isinstance(callback := model.model, HostCallback):

            def with_max_batch(max_batch: int) -> Apply:
                limited = callback.with_max_batch(max_batch)
                return as_pure_model(with_preprocessing(limited, model.preprocess, model.columns)).apply

            pure = replace(pure, host_runtime=HostRuntime(with_max_batch, callback.concurrent, callback.fixed_batch))
        # The digest is that of the weights alone: preprocessing has its own entry in a result.
        digest = model.digest or as_pure_model(model.model).digest
        return replace(pure, known_digest=digest, known_parameters=model.parameters)
    if not callable(model):
        raise InputError(f"model is {model!r}; allowed: a Flax NNX module or a traceable function images → logits.")
    if not isinstance(model, nnx.Module):
        return PureModel(lambda state, images: (model(images), None), {})
    return _from_module(model)


def _from_module(model: nnx.Module) -> PureModel:
    model = nnx.clone(model)
    model.eval()
    graph, state = nnx.split(model)

    def module(state: Any) -> Any:
        return nnx.merge(graph, state)

    def head(state: Any, features: Array) -> tuple[Array, Array]:
        embedding = module(state).embed(features)
        return module(state).classify(embedding), embedding

    def features(state: Any, images: Array) -> Array:
        return module(state).features(images)

    def stages(state: Any, size: tuple[int, int]) -> Sequence[Stage] | None:
        return module(state).circular_stages(size)

    def linear(state: Any) -> tuple[Array, Array]:
        layer = module(state).classifier
        return layer.kernel[...], layer.bias[...]

    if not all(hasattr(model, name) for name in ("features", "embed", "classify")):
        return PureModel(lambda state, images: (module(state)(images), None), state)
    if isinstance(model, Classifier):
        total_stride = model.total_stride or Unavailable("the model is not convolutional")
        readout = model.readout_kind
        split = SplitModel(features, head, stages, total_stride, readout, linear if readout == "linear" else None)
    else:
        split = SplitModel(features, head, lambda state, size: None, None, "any", None)
    return PureModel(lambda state, images: head(state, features(state, images)), state, split)


def count_logits(model: PureModel, split: Split) -> int:
    """Return the number of logits per image of a split, by abstract evaluation.

    Raises:
        InputError: The model cannot be traced on these images, or does not return floating-point logits [n k] of at
            least as many classes as the data have.
    """
    height, width = split.size
    images = jax.ShapeDtypeStruct((2, height, width, split.channels), "float32")
    try:
        logits, _ = jax.eval_shape(model.apply, model.state, images)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"The model cannot be applied to images of shape (n, {height}, {width}, {split.channels}): "
            f"{first_line(error)}."
        ) from error
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != 2 or shape[1] < len(split.classes):
        raise InputError(
            f"The model returns {type(logits).__name__ if shape is None else f'shape {shape}'} for 2 images; allowed: "
            f"logits [n k] with k ≥ {len(split.classes)}, the number of classes of the data."
        )
    if not jax.numpy.issubdtype(logits.dtype, jax.numpy.floating):
        raise InputError(f"The model returns logits of type {logits.dtype}; allowed: floating-point numbers.")
    return shape[1]
