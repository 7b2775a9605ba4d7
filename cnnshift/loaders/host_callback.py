"""A function of numpy arrays inside a compiled program."""

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
from cnnshift.loaders.base import Network, first_line

HIDDEN = (
    "The model runs outside of the compiled program, so that its layers and derivatives cannot be seen; allowed here: "
    "a network of jax arrays. `cnnshift bench` measures any."
)
"""Why something that looks into a network refuses one that is called back."""


@dataclass(frozen=True)
class HostCallback:
    """A traceable function, images → logits, that leaves the program for the host and comes back; see `host_callback`.

    Attributes:
        logits: what is called on the host.
        classes: shape of an image → number of logits.
        concurrent: whether several calls may go on at a time.
        batch: the only number of images that a call takes, to which calls are filled up; None for any.
        most: images of a call; more are told in several, evened out. None for any number.
    """

    logits: Callable[[np.ndarray], np.ndarray]
    classes: Callable[[tuple[int, ...]], int]
    concurrent: bool
    batch: int | None = None
    most: int | None = None

    def __call__(self, images: Float[Array, "n _ _ _"]) -> Float[Array, "n k"]:
        """Logits of a batch."""
        return _host_call.bind(images, function=self._in_parts, classes=self.classes(images.shape[1:]))

    def in_calls_of(self, most: int) -> HostCallback:
        """The same in calls of at most so many images."""
        return replace(self, most=most)

    def _in_parts(self, images: Float[np.ndarray, "n _ _ _"]) -> Float[np.ndarray, "n k"]:
        calls = 1 if self.most is None else math.ceil(len(images) / self.most)
        return np.concatenate([self.logits(part) for part in np.array_split(images, calls)])


def host_callback(
    function: Callable[[np.ndarray], Any], *, concurrent: bool = False, batch: int | None = None
) -> HostCallback:
    """A traceable function that calls `function` on the host.

    The number of classes is found, once for a shape, by a call with one black image.

    Args:
        function: images, a contiguous 32-bit array whose first axis is n → logits [n k].
        concurrent: whether it may be called from several threads at a time; otherwise it is called in one thread, the
            same for all such functions.
        batch: the only number of images that it takes; fewer are filled up with copies of the last.

    Raises:
        InputError: when traced: the function raises, or gives no [n k] array of numbers. What it raises later, when
            the program runs, is kept for `reraise_host_errors`.
    """
    whole = function if batch is None else in_batches(function, batch)

    def call(images: Float[np.ndarray, "n _ _ _"]) -> Float[np.ndarray, "n k"]:
        return _logits(whole, images) if concurrent else run_in_host_thread(_logits, whole, images)

    @functools.cache
    def classes(shape: tuple[int, ...]) -> int:
        return call(np.zeros((1, *shape), np.float32)).shape[1]

    def logits(images: Float[np.ndarray, "n _ _ _"]) -> Float[np.ndarray, "n k"]:
        try:
            return call(images)
        except (Exception, SystemExit) as problem:
            _failures.append(problem)
            raise

    return HostCallback(logits, classes, concurrent, batch)


# Programs call back from threads that change. OpenMP, hence PyTorch, keeps a team of threads for each that has called
# it, and once there are two, teams no longer wait awake for their next task: a pass takes up to twice the time.
_here = threading.local()
_host_thread = ThreadPoolExecutor(1, "called back", lambda: setattr(_here, "is_host_thread", True))


def run_in_host_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """A call in the thread of all calls that go on one at a time; directly where this is it."""
    if hasattr(_here, "is_host_thread"):
        return function(*arguments)
    return _host_thread.submit(function, *arguments).result()


# What functions in running programs raise: the runtime passes on no more than a text.
_failures: deque[BaseException] = deque(maxlen=1)


@contextlib.contextmanager
def reraise_host_errors() -> Iterator[None]:
    """Raise what a function on the host raised, and not what the runtime says of it.

    Raises:
        InputError: a function that a program calls back fails, or is what measures here: it would wait for itself.
    """
    if hasattr(_here, "is_host_thread"):
        raise InputError("A model that is called back measures a model itself; allowed: a function images → logits.")
    _failures.clear()
    try:
        yield
    except SystemExit as problem:
        raise InputError(f"The model cannot be applied to these images: {first_line(problem)}.") from problem
    except jax.errors.JaxRuntimeError:
        if not _failures:
            raise
        problem = _failures.pop()
        if isinstance(problem, InputError):
            raise problem from None
        raise InputError(f"The model cannot be applied to these images: {first_line(problem)}.") from problem


# Not jax.pure_callback: it hands its function arrays of jax. Those that are large are copied by the threads of the
# runtime, all of which may be waiting for such a function: a program that never ends (jax-ml/jax#24255). Here it gets
# numpy's.
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
    """Of several batches as of one: images do not see each other."""
    images = jnp.moveaxis(arguments[0], axes[0], 0)
    logits = _host_call.bind(images.reshape(-1, *images.shape[2:]), function=function, classes=classes)
    return logits.reshape(*images.shape[:2], classes), 0


def _differentiate_host_call(values: Any, tangents: Any, **_: Any) -> Any:
    raise InputError(HIDDEN)


ad.primitive_jvps[_host_call] = _differentiate_host_call
mlir.register_lowering(_host_call, _lower_host_call, cacheable=False)
batching.primitive_batchers[_host_call] = _batch_host_call


def in_batches(function: Callable[[np.ndarray], Any], size: int) -> Callable[[np.ndarray], Any]:
    """A function of any number of images, from one that takes `size` at a time: the last ones are repeated."""

    def call(images: Float[np.ndarray, "n _ _ _"]) -> Any:
        missing = -len(images) % size
        whole = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        parts = [function(whole[first : first + size]) for first in range(0, len(whole), size)]
        return np.concatenate([np.asarray(part) for part in parts])[: len(images)]

    return call


def traceable(network: Network, shape: tuple[int, int, int]) -> Network:
    """The network, through a call back to the host if its function asks for arrays of numpy.

    Args:
        network: its function takes prepared images.
        shape: (H, W, channels) of the images before they are prepared.
    """
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    # What else it raises, it will raise again when it is checked against the data, and be told there.
    with contextlib.suppress(Exception, SystemExit):
        try:
            jax.eval_shape(lambda x: network.model(network.preprocess(x)), images)
        except jax.errors.TracerArrayConversionError:
            return replace(network, model=host_callback(network.model))
    return network


def _logits(function: Callable[[np.ndarray], Any], images: np.ndarray) -> Float[np.ndarray, "n k"]:
    found = function(np.ascontiguousarray(images, np.float32))
    try:
        logits = np.asarray(found, np.float32)
    except (TypeError, ValueError):
        raise InputError(
            f"The model gives {type(found).__name__} for {len(images)} images; allowed: an array [n k]."
        ) from None
    if logits.ndim != 2 or len(logits) != len(images):
        n = len(images)
        raise InputError(f"The model gives shape {logits.shape} for {n} images; allowed: logits [n k], here [{n} k].")
    return logits
