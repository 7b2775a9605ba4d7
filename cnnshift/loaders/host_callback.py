"""Functions of numpy arrays inside a compiled program."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.loaders.base import first_line

HIDDEN = (
    "The model runs outside of the compiled program, so its layers and derivatives cannot be computed; allowed here: a "
    "model of jax arrays. `cnnshift bench` measures any model."
)
"""Message for a model that runs on the host where its layers or derivatives are needed."""


@dataclass(frozen=True)
class HostCallback:
    """A traceable function images → logits that runs on the host; see `host_callback`.

    Attributes:
        logits: the function on the host.
        num_classes: shape of an image → number of logits.
        concurrent: whether several threads may call it at a time.
        fixed_batch: the only number of images that it accepts, to which smaller batches are padded; None for any.
        max_batch: largest number of images per call; larger batches are split evenly. None for no limit.
    """

    logits: Callable[[np.ndarray], np.ndarray]
    num_classes: Callable[[tuple[int, ...]], int]
    concurrent: bool
    fixed_batch: int | None = None
    max_batch: int | None = None

    def __call__(self, images: Float[Array, "n _ _ _"]) -> Float[Array, "n k"]:
        """Return the logits of a batch."""
        return _host_call.bind(images, function=self._call, classes=self.num_classes(images.shape[1:]))

    def with_max_batch(self, max_batch: int) -> HostCallback:
        """Return the same function with at most `max_batch` images per call."""
        return replace(self, max_batch=max_batch)

    def _call(self, images: Float[np.ndarray, "n _ _ _"]) -> Float[np.ndarray, "n k"]:
        calls = 1 if self.max_batch is None else math.ceil(len(images) / self.max_batch)
        return np.concatenate([self.logits(batch) for batch in np.array_split(images, calls)])


def host_callback(
    function: Callable[[np.ndarray], Any], *, concurrent: bool = False, fixed_batch: int | None = None
) -> HostCallback:
    """Return a traceable function that calls `function` on the host.

    A call with one black image per image shape determines the number of classes.

    Args:
        function: images, a contiguous 32-bit array whose first axis is n → logits [n k].
        concurrent: whether several threads may call it at a time. Otherwise one thread, shared by all such functions,
            calls it.
        fixed_batch: the only number of images that it accepts; smaller batches are filled up with copies of the last
            image.

    Raises:
        InputError: When traced: the function raises, or does not return an array [n k] of numbers. Inside
            `reraise_host_errors`, errors of the running program are raised likewise.
    """
    any_batch = function if fixed_batch is None else in_batches(function, fixed_batch, fixed_batch)

    def call(images: Float[np.ndarray, "n _ _ _"]) -> Float[np.ndarray, "n k"]:
        return _logits(any_batch, images) if concurrent else run_in_host_thread(_logits, any_batch, images)

    @functools.cache
    def num_classes(shape: tuple[int, ...]) -> int:
        return call(np.zeros((1, *shape), np.float32)).shape[1]

    def logits(images: Float[np.ndarray, "n _ _ _"]) -> Float[np.ndarray, "n k"]:
        try:
            return call(images)
        except (Exception, SystemExit) as error:
            _errors.append(error)
            raise

    return HostCallback(logits, num_classes, concurrent, fixed_batch)


def as_traceable(
    model: Callable[[Any], Any], preprocess: Callable[[Any], Any], shape: tuple[int, int, int]
) -> Callable[[Any], Any]:
    """Return the model, wrapped by `host_callback` if it is a function of numpy arrays.

    Args:
        model: preprocessed images → logits.
        preprocess: images → preprocessed images.
        shape: (H, W, channels) of the images before preprocessing.
    """
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    # Other errors occur again, with a message, when the model is checked against the data.
    with contextlib.suppress(Exception, SystemExit):
        try:
            jax.eval_shape(lambda x: model(preprocess(x)), images)
        except jax.errors.TracerArrayConversionError:
            return host_callback(model)
    return model


# A program calls the host from changing threads. OpenMP, and hence PyTorch, keeps a team of threads per calling thread;
# with two teams or more, idle teams sleep instead of spinning, and a forward pass takes up to twice the time.
_local = threading.local()
_host_thread = ThreadPoolExecutor(1, "cnnshift-host", lambda: setattr(_local, "is_host_thread", True))


def run_in_host_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in the thread of all functions that are not concurrent; directly if this is that thread."""
    if hasattr(_local, "is_host_thread"):
        return function(*arguments)
    return _host_thread.submit(function, *arguments).result()


# The last exception of a function on the host: the runtime of jax passes on only its text.
_errors: deque[BaseException] = deque(maxlen=1)


@contextlib.contextmanager
def reraise_host_errors() -> Iterator[None]:
    """Raise the exceptions of functions on the host instead of the runtime's summary.

    Raises:
        InputError: A function on the host raises, or this is the host thread, which would wait for itself.
    """
    if hasattr(_local, "is_host_thread"):
        raise InputError("A model that runs on the host measures another model; allowed: a function images → logits.")
    _errors.clear()
    try:
        yield
    except SystemExit as error:
        raise InputError(f"The model cannot be applied to these images: {first_line(error)}.") from error
    except jax.errors.JaxRuntimeError:
        if not _errors:
            raise
        error = _errors.pop()
        if isinstance(error, InputError):
            raise error from None
        raise InputError(f"The model cannot be applied to these images: {first_line(error)}.") from error


def in_batches(
    function: Callable[[np.ndarray], Any], smallest: int, largest: int | None
) -> Callable[[np.ndarray], Any]:
    """Return a function of any number of images from one of `smallest` to `largest` images; None for no limit.

    Batches are balanced, and padded with copies of their last image.
    """

    def call(images: Float[np.ndarray, "n _ _ _"]) -> Any:
        outputs = []
        for batch in np.array_split(images, 1 if largest is None else math.ceil(len(images) / largest)):
            padding = np.repeat(batch[-1:], max(0, smallest - len(batch)), axis=0)
            outputs.append(np.asarray(function(np.concatenate([batch, padding])))[: len(batch)])
        return np.concatenate(outputs)

    return call


def _logits(function: Callable[[np.ndarray], Any], images: np.ndarray) -> Float[np.ndarray, "n k"]:
    output = function(np.ascontiguousarray(images, np.float32))
    try:
        logits = np.asarray(output, np.float32)
    except (TypeError, ValueError):
        raise InputError(
            f"The model returns {type(output).__name__} for {len(images)} images; allowed: an array [n k]."
        ) from None
    if logits.ndim != 2 or len(logits) != len(images):
        n = len(images)
        raise InputError(f"The model returns shape {logits.shape} for {n} images; allowed: logits [n k], here [{n} k].")
    return logits


# jax.pure_callback would pass arrays of jax to the function. The threads of the runtime copy large ones, and all of
# these threads may be waiting for such a function: a deadlock (jax-ml/jax#24255). This primitive passes numpy arrays.
_host_call = Primitive("cnnshift_host_call")
_host_call.def_impl(lambda images, *, function, classes: jnp.asarray(function(np.asarray(images))))
_host_call.def_abstract_eval(lambda images, *, function, classes: ShapedArray((images.shape[0], classes), jnp.float32))


def _lower_host_call(ctx: Any, images: Any, *, function: Callable[..., Any], classes: int) -> Any:
    results, _, _ = mlir.emit_python_callback(
        ctx,
        lambda x: (function(np.asarray(x)),),
        None,
        [images],
        ctx.avals_in,
        ctx.avals_out,
        has_side_effect=False,
        returns_token=False,
    )
    return results


def _batch_host_call(arguments: Any, axes: Any, *, function: Callable[..., Any], classes: int) -> tuple[Array, int]:
    # Images are independent of each other: several batches can be one.
    images = jnp.moveaxis(arguments[0], axes[0], 0)
    logits = _host_call.bind(images.reshape(-1, *images.shape[2:]), function=function, classes=classes)
    return logits.reshape(*images.shape[:2], classes), 0


def _differentiate_host_call(values: Any, tangents: Any, **_: Any) -> Any:
    raise InputError(HIDDEN)


ad.primitive_jvps[_host_call] = _differentiate_host_call
mlir.register_lowering(_host_call, _lower_host_call, cacheable=False)
batching.primitive_batchers[_host_call] = _batch_host_call
