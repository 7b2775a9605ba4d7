"""What a sweep measures: a pure function of weights and images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cnnshift import cores
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.models.base import Classifier, ReadoutKind
from cnnshift.models.stage import Stage

Apply = Callable[[Any, Float[Array, "n h w c"]], tuple[Float[Array, "n k"], Float[Array, "n e"] | None]]


@dataclass(frozen=True, slots=True)
class SplitModel:
    """A model in two parts, for those that show them.

    Attributes:
        features: (state, images) → a map with positions.
        head: (state, map) → (logits, penultimate features).
        stages: (state, size) → what the structure promises, see `Classifier.circular_stages`.
        total_stride: what the structure says, see `Classifier.total_stride`, or why there is none; None where nothing
            is known of the structure.
        readout: how the logits depend on where the features are.
        linear: state → (weights [e k], bias [k]) of a head that is linear in the flattened map, else None.
    """

    features: Callable[[Any, Float[Array, "n h w c"]], Float[Array, "n H W C"]]
    head: Callable[[Any, Float[Array, "n H W C"]], tuple[Float[Array, "n k"], Float[Array, "n e"]]]
    stages: Callable[[Any, tuple[int, int]], Sequence[Stage] | None]
    total_stride: int | str | None
    readout: ReadoutKind
    linear: Callable[[Any], tuple[Float[Array, "e k"], Float[Array, " k"]]] | None


@dataclass(frozen=True, slots=True)
class HostRuntime:
    """How a model is called that runs outside of the compiled program.

    Attributes:
        in_calls_of: number of images → the model as `PureModel.apply`, in calls of at most so many.
        concurrent: whether it takes several calls at a time, each on a core of its own.
        batch: images of a call, where it takes no other number and has its calls filled up.
    """

    in_calls_of: Callable[[int], Apply]
    concurrent: bool
    batch: int | None


@dataclass(frozen=True, slots=True)
class PureModel:
    """A model as a function.

    Attributes:
        apply: (state, images on the scale 0..1) → (logits, penultimate features or None).
        state: its weights, a pytree of arrays.
        parts: the same in two parts, or None.
        own_digest: SHA-256 of what defines it, where its weights are not in the state.
        outside: how it is called, if it runs outside of the compiled program.
        own_parameters: number of its trained values, where they are not in the state.
    """

    apply: Apply
    state: Any
    parts: SplitModel | None = None
    own_digest: str | None = None
    outside: HostRuntime | None = None
    own_parameters: int | None = None

    @property
    def lanes(self) -> int:
        """Calls at a time. On CPU one for each core: a single call keeps little more than one of them busy."""
        alone = self.outside is not None and not self.outside.concurrent
        return 1 if alone or jax.default_backend() != "cpu" else cores.lanes()

    @property
    def parameters(self) -> int | None:
        """Number of trained values, None for a model that shows none. Running statistics do not count."""
        if self.own_parameters is not None:
            return self.own_parameters
        leaves = jax.tree.leaves(self.state, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
        return None if not leaves else sum(leaf[...].size for leaf in leaves if isinstance(leaf, nnx.Param))

    @property
    def digest(self) -> str:
        """SHA-256 over all weights and their names, or of what else defines the model."""
        if self.own_digest is not None:
            return self.own_digest
        digest = hashlib.sha256()
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.state):
            key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            array = np.asarray(jax.random.key_data(leaf) if key else leaf)
            digest.update(repr((jax.tree_util.keystr(path), array.dtype.str, array.shape)).encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def total_stride(self, split: Split) -> int | str:
        """S, by what the model divides the resolution of these images, or why there is no such number.

        Where nothing is known of the structure it is the ratio of the image's size to that of the map of features.
        """
        if self.parts is None:
            return "the model does not show its features"
        if self.parts.total_stride is not None:
            return self.parts.total_stride
        images = jax.ShapeDtypeStruct((1, *split.size, split.channels), "float32")
        shape = jax.eval_shape(self.parts.features, self.state, images).shape[1:]
        return "its features have a single position" if shape[:2] == (1, 1) else stride_of_map(shape, split.size)


def stride_of_map(shape: tuple[int, ...], size: tuple[int, int]) -> int | str:
    """The ratio of an image's size (H, W) to that of a map of shape (h, w, c), or why there is none."""
    if len(shape) != 3 or size[0] % shape[0] or size[1] % shape[1]:
        return f"its features have shape {shape}, which does not divide {size[0]}×{size[1]} pixels"
    if size[0] // shape[0] != size[1] // shape[1]:
        return "its stride is not the same on both axes"
    return size[0] // shape[0]


def as_pure_model(model: Callable[[Array], Array]) -> PureModel:
    """A subject from a model.

    Args:
        model: an NNX module (its weights become the state; penultimate features are seen if it has the zoo's
            `features`, `embed` and `classify`; it is taken in evaluation mode, and itself left as it is), or any
            traceable function images → logits.

    Raises:
        InputError: it cannot be called.
    """
    if not callable(model):
        raise InputError(f"model is {model!r}; a Flax NNX module or a traceable function images → logits is needed.")
    if not isinstance(model, nnx.Module):
        return PureModel(lambda state, images: (model(images), None), {})
    model = nnx.clone(model)
    model.eval()
    graph, state = nnx.split(model)
    opens = all(hasattr(model, name) for name in ("features", "embed", "classify"))

    def module(state: Any) -> Any:
        return nnx.merge(graph, state)

    def head(state: Any, features: Array) -> tuple[Array, Array]:
        embedding = module(state).embed(features)
        return module(state).classify(embedding), embedding

    def features(state: Any, images: Array) -> Array:
        return module(state).features(images)

    if not opens:
        return PureModel(lambda state, images: (module(state)(images), None), state)
    parts = _parts(model, features, head, module)
    return PureModel(lambda state, images: head(state, features(state, images)), state, parts)


def _parts(model: nnx.Module, features: Any, head: Any, module: Callable[[Any], Any]) -> SplitModel:
    """What a model of the zoo says of its structure; of another one nothing is known."""
    if not isinstance(model, Classifier):
        return SplitModel(features, head, lambda state, size: None, None, "any", None)

    def linear(state: Any) -> tuple[Array, Array]:
        layer = module(state).classifier
        return layer.kernel[...], layer.bias[...]

    def stages(state: Any, size: tuple[int, int]) -> Sequence[Stage] | None:
        return module(state).circular_stages(size)

    kind = model.readout_kind
    total = model.total_stride or "the model is not convolutional"
    return SplitModel(features, head, stages, total, kind, linear if kind == "linear" else None)


def check_fits(subject: PureModel, split: Split, *, exactly: bool = False) -> None:
    """Find out before the sweep, by abstract evaluation, whether a model takes these images and tells their classes.

    Args:
        subject: the model.
        split: the images.
        exactly: whether more classes than the data have are too many.

    Raises:
        InputError: it cannot be traced on a batch of them, or gives no [n k] logits, or fewer classes than there are.
    """
    height, width = split.size
    images = jax.ShapeDtypeStruct((2, height, width, split.channels), "float32")
    try:
        logits, _ = jax.eval_shape(subject.apply, subject.state, images)
    except InputError:
        raise
    except (Exception, SystemExit) as problem:
        # Whatever a stranger's model raises, the first line says what it was.
        reason = str(problem).strip().partition("\n")[0]
        raise InputError(
            f"The model cannot be applied to images of shape (n, {height}, {width}, {split.channels}): "
            f"{type(problem).__name__}: {reason}"
        ) from problem
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != 2 or shape[1] < len(split.classes):
        raise InputError(
            f"The model gives {'no array' if shape is None else f'shape {shape}'} for 2 images; "
            f"allowed: logits [n k] of at least k = {len(split.classes)} classes, those of the data."
        )
    if exactly and shape[1] != len(split.classes):
        raise InputError(
            f"The model tells {shape[1]} classes, but the data have {len(split.classes)}; name the model's, one a line "
            "of a text file, with classes=FILE."
        )
    if not jax.numpy.issubdtype(logits.dtype, jax.numpy.floating):
        raise InputError(f"The model gives logits of type {logits.dtype}; allowed: floating-point numbers.")
